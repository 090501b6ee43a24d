"""No file contains a secret, and every secret that is named can be had."""

import re
from pathlib import Path

import pytest

from tests.deploy.manifests import COMPOSE, DEPLOY, KUBERNETES, files, load, services, walk

SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY)", re.I)
HARMLESS = re.compile(r"_FILE$|_PATH$")
IN_A_URL = re.compile(r"://[^\s/:@]+:[^\s/@]+@")
RANDOM = re.compile(r"\b(?:[0-9a-f]{20,}|(?=[A-Za-z+/]*\d)[A-Za-z0-9+/]{40,}={0,2})\b")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_file_has_no_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not IN_A_URL.search(text)
    assert not RANDOM.search(text)


def test_these_patterns_see_secrets() -> None:
    assert IN_A_URL.search("postgresql+psycopg://tuner:hunter2@db/tuner")
    assert not IN_A_URL.search("postgresql+psycopg://tuner@db:5432/tuner")
    assert RANDOM.search("token: 0123456789abcdef0123456789abcdef")


def test_settings_that_are_secrets_come_from_files_or_secrets() -> None:
    for service in services().values():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and HARMLESS.search(key):
                assert value.startswith("/run/secrets/")
            else:
                assert not SECRET.search(key), key
    for path in KUBERNETES:
        for document in load(path):
            assert document["kind"] != "Secret"
            named = [n for n in walk(document) if SECRET.search(str(n.get("name", "")))]
            assert not [n["name"] for n in named if "value" in n]


def test_compose_secrets_are_files_that_prepare_writes() -> None:
    secrets = load(COMPOSE)[0]["secrets"]
    prepare = (DEPLOY / "compose" / "prepare").read_text()
    for name, source in secrets.items():
        assert source == {"file": f"./secrets/{name}"}
        assert re.search(rf"\b{name}\b", prepare), f"prepare does not write {name}"
    for service in services().values():
        assert set(service.get("secrets", ())) <= set(secrets)
        text = str(service.get("environment", {})) + str(service.get("command", ""))
        used = set(re.findall(r"/run/secrets/(\w+)", text))
        assert used <= set(service.get("secrets", ()))


def test_kubernetes_secrets_are_in_the_handbook() -> None:
    handbook = (DEPLOY / "README.md").read_text()
    for path in KUBERNETES:
        for document in load(path):
            for node in walk(document):
                reference = node.get("secretKeyRef", {})
                if reference:
                    assert f"generic {reference['name']} " in handbook
                    assert f"{reference['key']}=" in handbook


def test_what_prepare_makes_is_never_committed() -> None:
    ignored = (DEPLOY / "compose" / ".gitignore").read_text().split()
    assert {"/.env", "/data/", "/secrets/"} <= set(ignored)
