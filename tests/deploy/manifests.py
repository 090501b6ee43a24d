"""Reads what `deploy/` ships: documents, the containers that they start, and their settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
DOCKERFILES = [DEPLOY / "docker" / name for name in ("Dockerfile", "mlflow.Dockerfile")]
OWN = ("compose", "docker", "k8s", "ray")
"""The folders of `deploy/` that start containers."""
KUBERNETES = sorted((DEPLOY / "k8s").rglob("*.yaml"))
RAY_UP = sorted((DEPLOY / "ray").glob("*.yaml"))


def files() -> list[Path]:
    """Return every file of the folders that start containers."""
    return sorted(path for name in OWN for path in (DEPLOY / name).rglob("*") if path.is_file())


def load(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file by name."""
    found: dict[str, dict[str, Any]] = load(COMPOSE)[0]["services"]
    return found


def walk(node: object) -> Iterator[dict[str, Any]]:
    """Yield every mapping inside a document, the outer ones first."""
    if isinstance(node, dict):
        yield node
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for value in values:
        yield from walk(value)


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Return every pod of the Kubernetes manifests, as file and specification."""
    return [
        (path.name, node)
        for path in KUBERNETES
        for document in load(path)
        for node in walk(document)
        if "containers" in node
    ]


def locked() -> dict[str, str]:
    """Return the versions of `requirements.lock` by lower-case name."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {name.lower(): version for name, version in pins(lines)}


def pins(lines: list[str]) -> list[tuple[str, str]]:
    """Return the packages of a list of requirements that have an exact version."""
    matches = [re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line) for line in lines]
    return [(match[1], match[2]) for match in matches if match]
