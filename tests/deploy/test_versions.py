"""What `deploy/` names agrees with the project: versions, files, options and schemas."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray

from tests.deploy.manifests import (
    COMPOSE,
    DEPLOY,
    DOCKERFILES,
    KUBERNETES,
    RAY_UP,
    ROOT,
    files,
    load,
    locked,
    pins,
    services,
    walk,
)

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TAG = re.compile(r"\btuner(?:-mlflow|-ray-up)?:(\d[\d.]*)")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_python_of_an_image_is_one_that_the_project_takes(path: Path) -> None:
    found = re.search(r"^ARG BASE_IMAGE=python:(\d+\.\d+)-slim", path.read_text(), re.M)
    assert found is not None
    assert PROJECT["requires-python"] == f">={found[1]}"


def test_images_bear_the_version_of_the_project() -> None:
    tags = {tag for path in files() for tag in TAG.findall(path.read_text())}
    assert tags == {PROJECT["version"]}
    for path in KUBERNETES:
        for image in load(path)[0].get("images", ()):
            assert image["newTag"].split("-")[0] == PROJECT["version"]


def test_kubernetes_names_the_ray_of_the_images() -> None:
    versions = [
        node["rayVersion"]
        for path in KUBERNETES
        for document in load(path)
        for node in walk(document)
        if "rayVersion" in node
    ]
    assert versions == [locked()["ray"]] * 2


@pytest.mark.parametrize("name", ["mlflow-requirements.txt", "ray-up-requirements.txt"])
def test_packages_of_an_image_have_one_version_that_the_lock_accepts(name: str) -> None:
    lines = (DEPLOY / "docker" / name).read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    exact = dict(pins(packages))
    assert "boto3" in exact
    assert [p for p, v in exact.items() if locked().get(p.lower(), v) != v] == []
    others = {line.split("[")[0] for line in packages if "==" not in line}
    assert others <= set(locked())


def test_what_a_dockerfile_copies_exists_and_is_sent_to_the_builder() -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for path in DOCKERFILES:
        copied = re.findall(r"^COPY (?!--from)((?:.|\\\n)+?)$", path.read_text(), re.M)
        sources = [s for c in copied for s in c.replace("\\\n", " ").split()[:-1]]
        assert sources
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in sent or source.startswith("deploy/docker/"), source


def test_services_start_programs_of_their_image() -> None:
    for name, service in services().items():
        if str(service["image"]).startswith("${"):
            command = service.get("command", ["mlflow-server"])
            words = command.split()[:2] if isinstance(command, str) else command[:1]
            for word in words:
                assert word == "ray" or (DEPLOY / "docker" / word).exists(), (name, word)


def test_kustomize_reads_every_manifest() -> None:
    for path in (DEPLOY / "k8s").rglob("kustomization.yaml"):
        document = load(path)[0]
        named = {n for n in document["resources"] if n.endswith(".yaml")}
        assert named == {p.name for p in path.parent.glob("*.yaml")} - {path.name}
        others = [n for n in document["resources"] if not n.endswith(".yaml")]
        sources = [f for g in document.get("configMapGenerator", ()) for f in g["envs"]]
        assert all((path.parent / other).exists() for other in (*others, *sources))


def test_both_overlays_have_the_same_head_and_settings() -> None:
    cluster, job = (
        load(DEPLOY / "k8s" / "overlays" / name)[0]["spec"]
        for name in ("cpu/ray-cluster.yaml", "gpu-spot/ray-job.yaml")
    )
    different = "workerGroupSpecs"
    spec = job["rayClusterSpec"]
    assert {k: v for k, v in cluster.items() if k != different} == {
        k: v for k, v in spec.items() if k != different
    }
    a, b = ((DEPLOY / "k8s" / "overlays" / n / "settings.env") for n in ("cpu", "gpu-spot"))
    assert a.read_text() == b.read_text()


def test_gpu_workers_start_from_zero_on_spot_nodes() -> None:
    job = load(DEPLOY / "k8s" / "overlays" / "gpu-spot" / "ray-job.yaml")[0]["spec"]
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == 0
    assert any("spot" in t["key"] for t in group["template"]["spec"]["tolerations"])
    assert job["entrypoint"].split()[:4] == ["scale-up", "1", "1", "search-or-resume"]
    assert job["backoffLimit"] > 0


def test_network_policies_deny_first_and_name_roles_that_exist() -> None:
    policies = load(DEPLOY / "k8s" / "base" / "network-policies.yaml")
    assert policies[0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    named = {
        value
        for node in walk(policies)
        for value in (
            [*node.get("values", ())]
            if node.get("key") == "tuner.role"
            else [node["tuner.role"]]
            if "tuner.role" in node
            else []
        )
    }
    labels = {
        node["labels"]["tuner.role"]
        for path in KUBERNETES
        for node in walk(load(path))
        if "tuner.role" in node.get("labels", {})
    }
    assert named == labels


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_a_file_of_ray_up_keeps_to_the_schema_of_ray(path: Path) -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(load(path)[0], json.loads(schema.read_text()))


def test_the_service_that_waits_for_others_names_a_condition() -> None:
    known = set(load(COMPOSE)[0]["services"])
    for service in services().values():
        for other, how in service.get("depends_on", {}).items():
            assert other in known
            finishes = how["condition"] == "service_completed_successfully"
            assert finishes == (services()[other]["restart"] == "on-failure:5")
