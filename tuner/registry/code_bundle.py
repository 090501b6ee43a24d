"""The source code stored with a registered model, so that it loads where tuner is not installed.

All imports inside the package are relative, so the files that one method needs work under any
package name. Their name is derived from their content. No local package can shadow it, and models
of different versions can be loaded into one process.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

from ..methods import catalog

_ROOT = Path(__file__).parents[1]
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
_PACKAGE = "tuner"
_BASE_REQUIREMENTS = ("mlflow", "numpy", "safetensors", "torch")


def copy_source(method: str, into: Path) -> str:
    """Copy the code that a model of this method needs to a package in `into`; return its name.

    A method of another distribution is not copied: installing that one also installs tuner.
    """
    if catalog.distribution(method) is not None:
        return _PACKAGE
    sources = {path: (_ROOT / path).read_bytes() for path in sorted(_required_files(method))}
    packages = {folder / "__init__.py" for file in sources for folder in file.parents}
    for path in packages - sources.keys():
        sources[path] = b'"""Part of a registered model."""\n'
    digest = hashlib.sha256()
    for path, content in sorted(sources.items()):
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode() + content)
    package = f"{_PACKAGE}_model_{digest.hexdigest()[:16]}"
    for path, content in sources.items():
        target = into / package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return package


def pip_requirements(method: str) -> list[str]:
    """Return the pip requirements for loading a model of this method."""
    distribution = catalog.distribution(method)
    if distribution is not None:
        return [f"mlflow{_specifier('mlflow')}", f"{distribution}=={version(distribution)}"]
    files = _required_files(method)
    imported = {name for path in files for name in _third_party_imports(_ROOT / path)}
    names = {_DISTRIBUTIONS.get(name, name) for name in imported} | set(_BASE_REQUIREMENTS)
    return sorted(name + _specifier(name) for name in names)


def _required_files(method: str) -> set[Path]:
    """Return the files that a saved model and the method import, directly or indirectly."""
    found: set[Path] = set()
    pending = [Path("training", "saved_model.py"), *_modules(Path("models", method))]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += _local_imports(path)
    return found


def _local_imports(path: Path) -> Iterator[Path]:
    """Yield the files of this package that a file imports."""
    for node in _imports(_ROOT / path):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            start = path.parents[node.level - 1]
            module = start.joinpath(*(node.module or "").split("."))
            yield from _modules(module) if node.module else ()
            for alias in node.names:
                yield from _modules(module / alias.name)


def _modules(path: Path) -> Iterator[Path]:
    """Yield the file of a module, or the `__init__.py` of a package that holds a method."""
    files = [path.with_suffix(".py")]
    if path.parts[0] == "models":
        files.append(path / "__init__.py")
    yield from (file for file in files if (_ROOT / file).is_file())


def _third_party_imports(file: Path) -> Iterator[str]:
    """Yield the top-level packages outside the standard library that a file imports."""
    for node in _imports(file):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if node.level == 0 else []
        for name in names:
            if name.split(".")[0] not in sys.stdlib_module_names:
                yield name.split(".")[0]


def _imports(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """Return the imports of a file, in methods and data also those inside functions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lazy = {"models", "data"} & set(file.relative_to(_ROOT).parts)
    nodes = list(ast.walk(tree)) if lazy else tree.body
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def _specifier(name: str) -> str:
    """Return the version specifier of one of this package's requirements, or an empty string."""
    for requirement in requires(_PACKAGE) or ():
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)", requirement)
        if match is not None and match[1].lower() == name:
            return match[2].strip()
    return ""
