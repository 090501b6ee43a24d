"""Every path, flag, program and service that the handbook names exists."""

import re
import subprocess
import sys

import pytest
import ray.scripts.scripts
import typer

from tests.deploy.manifests import DEPLOY, ROOT, load, services
from tuner.cli.app import app

TEXT = (DEPLOY / "README.md").read_text(encoding="utf-8")
PROGRAMS = [path.name for path in (DEPLOY / "docker").iterdir() if not path.suffix]
SPANS = re.findall(r"`([^`]+)`", re.sub(r"^ {4}.*$", "", TEXT, flags=re.M))
LINES = [
    line.strip().partition("  #")[0]
    for line in re.sub(r"\\\n", " ", TEXT).splitlines()
    if line.startswith("    ")
]
SNIPPETS = [*LINES, *(" ".join(span.split()) for span in SPANS)]
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def flags_of(command: object) -> set[str]:
    """Return the flags of a command of click or typer."""
    return {o for parameter in command.params for o in parameter.opts}  # type: ignore[attr-defined]


def flags_of_mlflow() -> set[str]:
    """Return the flags of `mlflow server`, whose import warns."""
    command = [sys.executable, "-m", "mlflow", "server", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(FLAG.findall(done.stdout))


def commands() -> dict[str, set[str]]:
    """Return the flags of each command whose use is checked."""
    tuner = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {f"tuner {name}": flags_of(command) for name, command in tuner.items()}
    known["ray start"] = flags_of(ray.scripts.scripts.start)
    known["mlflow-server"] = flags_of_mlflow()
    known["search-or-resume"] = known["tuner search"]
    return known


def used(snippet: str, names: list[str]) -> list[tuple[str, str]]:
    """Return the flags that a line gives to commands, each to the last one named before it."""
    found, current = [], None
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    for match in re.finditer(rf"(?<![\w./-])(?:{pattern})(?=\s|$)|{FLAG.pattern}", snippet):
        if match[0].startswith("--"):
            found += [(current, match[0])] if current else []
        else:
            current = match[0]
    return found


def test_flags_exist() -> None:
    known = commands()
    pairs = [pair for snippet in SNIPPETS for pair in used(snippet, list(known))]
    assert {command for command, _ in pairs} >= {
        "tuner search",
        "ray start",
        "mlflow-server",
        "search-or-resume",
    }
    assert [pair for pair in pairs if pair[1] not in known[pair[0]]] == []


def test_commands_of_tuner_exist() -> None:
    known = {name.split()[1] for name in commands() if name.startswith("tuner ")}
    named = {
        m
        for s in SNIPPETS
        for m in re.findall(r"(?<!-n )(?<!role )(?<![\w./@-])tuner ([a-z]+)\b", s)
    }
    assert {"search", "resume", "doctor", "sync", "status"} <= named
    assert named - {"tuner"} <= known  # the service of compose has the same name


@pytest.mark.parametrize("name", sorted({s.split()[0] for s in SPANS if s.split()}))
def test_a_program_or_path_that_is_named_exists(name: str) -> None:
    inside = re.fullmatch(r"(?:deploy/)?((?:compose|docker|k8s|ray)/[\w./-]+)", name)
    if inside:
        assert (DEPLOY / inside[1]).exists()
    elif name in {"prepare", "settings.env", "ray-job.yaml", "ray-cluster.yaml"}:
        assert list(DEPLOY.rglob(name))


def test_paths_of_commands_exist() -> None:
    paths = {p for line in LINES for p in re.findall(r"\bdeploy/[\w./-]*\w", line)}
    assert len(paths) >= 6
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_file_and_program_of_the_images_is_explained() -> None:
    silent = {"Dockerfile", "healthcheck", "mlflow-server"}
    missing = [name for name in PROGRAMS if name not in silent and f"`{name}" not in TEXT]
    assert missing == []


def test_services_of_compose_exist() -> None:
    pattern = r"docker compose (?:--profile search )?(?:up|run|stop|logs)((?: [\w-]+)+)"
    named = {
        word
        for snippet in SNIPPETS
        for words in re.findall(pattern, re.sub(r" --[a-z-]+", "", snippet))
        for word in words.split()[:1]
    }
    assert {"tuner", "head", "mlflow-user", "s3"} <= named
    assert named <= set(services())


def test_variables_of_the_env_file_are_read() -> None:
    text = "".join(p.read_text() for p in (DEPLOY / "compose").glob("*.yaml"))
    lines = (DEPLOY / "compose" / "env.example").read_text().splitlines()
    names = [line.split("=")[0] for line in lines if not line.startswith("#")]
    assert names
    assert [name for name in names if f"${{{name}" not in text] == []


def test_settings_of_kubernetes_are_known() -> None:
    path = DEPLOY / "k8s" / "overlays" / "cpu" / "settings.env"
    names = {line.split("=")[0] for line in path.read_text().splitlines()}
    envvars = {
        str(parameter.envvar)
        for command in typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        if parameter.envvar
    }
    args = str(load(DEPLOY / "k8s" / "base" / "mlflow.yaml"))
    scripts = "".join((DEPLOY / "docker" / n).read_text() for n in ("mlflow-server",))
    used_here = {n for n in names if f"$({n})" in args or f"${n}" in scripts}
    assert names - envvars - used_here == {"AWS_DEFAULT_REGION"}


def test_the_handbook_is_short() -> None:
    assert len(TEXT.splitlines()) <= 330
