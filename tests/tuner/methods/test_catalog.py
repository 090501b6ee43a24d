import sys
import textwrap
from pathlib import Path

import pytest

from tuner.errors import UsageError
from tuner.methods import catalog
from tuner.methods.config import Config
from tuner.methods.contract import Clusterer, Method
from tuner.study.space import method_space

PAGES = Path(catalog.__file__).parents[1] / "models"


def test_methods_are_found_by_their_files():
    spaces = {path.stem for path in PAGES.with_name("search_spaces").glob("*.yaml")}
    assert list(catalog.names()) == sorted(spaces)
    for name in spaces:
        assert PAGES.joinpath(f"{name}.py").exists() != PAGES.joinpath(name).is_dir()


@pytest.mark.parametrize("name", catalog.names())
def test_a_method_comes_with_its_classes_and_a_space(name):
    method = catalog.method(name)
    assert issubclass(method, Method)
    assert method.__module__ in (f"tuner.models.{name}", f"tuner.models.{name}.method")
    assert issubclass(method.config_type, Config)
    assert issubclass(method.clusterer_type, Clusterer)
    assert method.source
    assert method_space(name).parameters.keys() <= method.config_type.__dataclass_fields__.keys()
    assert catalog.distribution(name) is None


@pytest.mark.parametrize("name", ["", "gmva", "_kit", "../errors", "GMVAE", "nothing-like-it"])
def test_a_method_that_is_not_there_is_refused(name):
    with pytest.raises(UsageError) as raised:
        catalog.method(name)
    message = str(raised.value)
    assert f"no method {name!r}" in message
    assert "gmvae" in message
    with pytest.raises(UsageError):
        method_space(name)


def test_a_near_miss_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'gmvae'"):
        catalog.method("gmva")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A distribution beside this one that offers a method by entry point."""
    page = PAGES.joinpath("kmeans.py").read_text().replace("from ..", "from tuner.")
    (tmp_path / "others.py").write_text(page.replace("from ._", "from tuner.models._"))
    space = PAGES.with_name("search_spaces").joinpath("kmeans.yaml").read_text()
    (tmp_path / "others.yaml").write_text(space)
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    name = next(n for n in page.split("class ")[2:] if "Method)" in n.split(":")[0]).split("(")[0]
    (info / "entry_points.txt").write_text(
        textwrap.dedent(f"""
            [tuner.methods]
            other = others:{name}
            """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = [catalog.names, catalog.method, method_space, catalog._plugins]
    for cached in caches:
        cached.cache_clear()
    yield "other"
    sys.modules.pop("others", None)
    for cached in caches:
        cached.cache_clear()


def test_another_package_offers_a_method_by_entry_point(plugin):
    assert plugin in catalog.names()
    method = catalog.method(plugin)
    assert method.__module__ == "others"
    assert catalog.distribution(plugin) == "others"
    assert "n_components" in method_space(plugin).parameters
