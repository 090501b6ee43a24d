"""The names of registered models without MLflow, whose import takes seconds."""

import json
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from ..quick_query import quick_rows

_SECONDS = 1.0
_PAGE = 200
_QUERIES = (
    "SELECT name FROM registered_models ORDER BY name",
    "SELECT name, alias FROM registered_model_aliases ORDER BY alias",
    "SELECT name, version FROM model_versions WHERE current_stage <> 'Deleted_Internal' "
    "ORDER BY version DESC",
)


def quick_models(uri: str) -> dict[str, tuple[list[str], list[int]]]:
    """Return the aliases and versions of every registered model; a server tells the latest ones.

    Raises whatever is wrong. `tuner.registry.Registry` has sentences for that.
    """
    if uri.startswith(("http://", "https://")):
        return _from_server(uri)
    names, aliases, versions = quick_rows(uri, *_QUERIES)
    found: dict[str, tuple[list[str], list[int]]] = {name: ([], []) for (name,) in names}
    for name, alias in aliases:
        found[name][0].append(str(alias))
    for name, version in versions:
        found[name][1].append(int(version))
    return found


def _from_server(uri: str) -> dict[str, tuple[list[str], list[int]]]:
    path = "api/2.0/mlflow/registered-models/search"
    query = urlencode({"max_results": _PAGE})
    with urlopen(f"{uri.rstrip('/')}/{path}?{query}", timeout=_SECONDS) as answer:
        document: dict[str, Any] = json.load(answer)
    return {
        str(model["name"]): (
            sorted(str(each["alias"]) for each in model.get("aliases", ())),
            sorted(
                (int(each["version"]) for each in model.get("latest_versions", ())), reverse=True
            ),
        )
        for model in document.get("registered_models", ())
    }
