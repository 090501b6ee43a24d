"""Every container runs as uid 10001, with a read-only root and without capabilities."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import (
    DEPLOY,
    DOCKERFILES,
    RAY_UP,
    load,
    pods,
    services,
    walk,
)

UID = 10001
PODS = pods()


@pytest.mark.parametrize("name", services())
def test_a_service_of_compose_is_contained(name: str) -> None:
    service = services()[name]
    assert service["user"] == f"{UID}:{UID}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])


def test_the_gpu_file_takes_nothing_of_that_back() -> None:
    taken = {"user", "read_only", "cap_drop", "cap_add", "privileged", "security_opt", "ports"}
    for service in load(DEPLOY / "compose" / "compose.gpu.yaml")[0]["services"].values():
        assert not taken & set(service)


def test_published_ports_are_on_loopback() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert published, "no service publishes a port, so this test sees nothing"
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert not [s for s in services().values() if s.get("network_mode") == "host"]


def test_services_without_a_port_see_no_network_but_their_own() -> None:
    assert load(DEPLOY / "compose" / "compose.yaml")[0]["networks"]["inside"]["internal"] is True
    for name, service in services().items():
        expected = ["inside", "front"] if "ports" in service else ["inside"]
        assert service["networks"] == expected, name


@pytest.mark.parametrize(("file", "pod"), PODS, ids=[file for file, _ in PODS])
def test_a_pod_is_restricted(file: str, pod: dict[str, Any]) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == UID
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert_contained(container)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


def test_the_autoscaler_is_restricted() -> None:
    found = [
        node["autoscalerOptions"]
        for path in (DEPLOY / "k8s" / "overlays").rglob("ray-*.yaml")
        for document in load(path)
        for node in walk(document)
        if "autoscalerOptions" in node
    ]
    assert len(found) == 2
    for options in found:
        assert_contained(options)


def assert_contained(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_a_container_of_ray_up_is_contained(path: Path) -> None:
    options = load(path)[0]["docker"]["run_options"]
    wanted = {
        f"--user={UID}:{UID}",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--env=RAY_AUTH_MODE=token",
    }
    assert wanted <= set(options)
    assert not [option for option in options if re.match("--(privileged|cap-add)", option)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_ends_without_root_and_with_a_healthcheck(path: Path) -> None:
    lines = path.read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1] == f"{UID}:{UID}"
    assert f"useradd --uid {UID} " in path.read_text()
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_passwords_are_only_where_no_trial_runs() -> None:
    for path in (DEPLOY / "k8s" / "overlays").rglob("ray-*.yaml"):
        for node in walk(load(path)[0]):
            if "workerGroupSpecs" in node:
                assert node["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
                secrets = [
                    s["secretKeyRef"]["name"]
                    for s in walk(node["workerGroupSpecs"])
                    if "secretKeyRef" in s
                ]
                assert set(secrets) == {"s3"}
    for name in ("head", "worker"):
        assert not [s for s in services()[name]["secrets"] if "password" in s]
    for path in RAY_UP:
        config = load(path)[0]
        assert any("--num-cpus 0" in command for command in config["head_start_ray_commands"])
        assert not [option for option in config["docker"]["run_options"] if "PASSWORD" in option]
