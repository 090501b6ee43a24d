import subprocess
import sys

import numpy as np
import pytest

from tests.tuner.data.refusals import refusal
from tuner.data import catalog, load


@pytest.mark.parametrize("name", ["digits", "arcs", "half_moons"])
def test_the_catalog_says_what_is_loaded(name):
    info = next(info for info in catalog() if info.name == name)
    data = load(name)
    assert info.points == len(data.train) + len(data.test)
    assert info.shape == data.shape
    assert info.classes == len(data.label_names)


def test_the_default_comes_first():
    names = [info.name for info in catalog()]
    assert names == ["digits", "arcs", "half_moons", "mnist", "fashion_mnist", "svhn"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean 'digits'?"),
        ("MNIST", "did you mean 'mnist'?"),
        ("fashion-mnist", "did you mean 'fashion_mnist'?"),
        ("qqq", "give one of digits, arcs, half_moons, mnist, fashion_mnist, svhn"),
        ("SVHN", "did you mean 'svhn'?"),
        ("qqq", "or the path of a folder of images"),
        ("", "no dataset ''"),
        ("s3://bucket/key.npy", "s3://"),
    ],
)
def test_unknown_names_are_refused(spec, message):
    assert message in refusal(spec)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a b(1).npy", "a-b-1"),
        ("digits.npy", "digits.npy"),
        ("---.npy", "data"),
        ("x" * 100 + ".npy", "x" * 64),
    ],
)
def test_files_are_named_by_slugs_that_clash_with_no_data_set(tmp_path, file, name):
    np.save(tmp_path / file, np.random.default_rng(0).normal(size=(10, 2)))
    assert load(str(tmp_path / file)).name == name


def test_data_needs_no_framework():
    heavy = ("ray", "optuna", "mlflow", "torch", "torchvision", "pandas", "pyarrow", "sklearn")
    heavy += ("PIL", "scipy")
    code = f"import sys, tuner.data; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
