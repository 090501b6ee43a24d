"""The commands that list methods, search spaces, datasets and registered models."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from . import completion, values
from .options import SWITCH, Json, Tracking
from .output import log, show, show_facts, show_json, show_table

if TYPE_CHECKING:
    from ..methods.contract import Clusterer, Method
    from ..registry import Version

OneMethod = Annotated[
    str,
    Argument(
        metavar="NAME",
        help="Name of the method.",
        autocompletion=completion.method,
        show_default=False,
    ),
]
AnyMethod = Annotated[
    str | None,
    Argument(
        metavar="NAME",
        help="Name of the method.",
        autocompletion=completion.method,
        show_default="all methods",
    ),
]
AnyModel = Annotated[
    str | None,
    Argument(
        metavar="NAME",
        help="Name of the model.",
        autocompletion=completion.models,
        show_default="all models",
    ),
]
Markdown = Annotated[
    bool, Option("--markdown", metavar=SWITCH, help="Print the table as Markdown.")
]


def methods(name: AnyMethod = None, json: Json = False, markdown: Markdown = False) -> None:
    """List the methods, or the settings of one method."""
    from ..methods import catalog

    if name is not None:
        _show_settings(name, catalog.method(name), json=json, markdown=markdown)
        return
    documents = [_method_document(name, catalog.method(name)) for name in catalog.names()]
    headings = ["method", "can", "source"]
    rows = [[one["name"], _capabilities(one), one["source"]] for one in documents]
    if json:
        show_json(documents)
    elif markdown:
        show(_markdown_table(headings, rows))
    else:
        show_table(headings, rows)


def space(name: OneMethod, json: Json = False) -> None:
    """Print the search space of a method in the format of --space."""
    from ..study.space import method_space

    document = method_space(name).to_mapping()
    if json:
        show_json(document)
        return
    import yaml

    lines = []
    for part, entries in document.items():
        lines.append(f"{part}:")
        width = max((len(key) for key in entries), default=0)
        for key, entry in entries.items():
            text = yaml.safe_dump(entry, sort_keys=False, default_flow_style=True, width=10_000)
            lines.append(f"  {key + ':':{width + 1}} {text.strip()}")
    show("\n".join(lines))


def datasets(json: Json = False) -> None:
    """List the built-in datasets."""
    from dataclasses import asdict

    from ..data import catalog

    entries = catalog()
    if json:
        show_json([asdict(entry) for entry in entries])
        return
    show_table(
        ["dataset", "points", "shape", "classes", "source"],
        [
            [
                entry.name,
                f"{entry.points:,}",
                " × ".join(map(str, entry.shape)),
                str(entry.classes),
                entry.source,
            ]
            for entry in entries
        ],
    )


def models(name: AnyModel = None, tracking: Tracking = None, json: Json = False) -> None:
    """List the registered models, or the versions of one model."""
    uri = values.tracking_uri(tracking)
    versions = _version_documents(name, uri)
    if json:
        show_json(versions)
        return
    if not versions:
        log("no registered models yet: `tuner search` registers its best model")
        return
    show_table(
        ["model", "version", "aliases", "score", "interval", "search"],
        [
            [
                version["name"],
                str(version["version"]),
                ", ".join(version["aliases"]),
                "" if version["score"] is None else f"{version['score']:.3f}",
                " to ".join(f"{bound:.3f}" for bound in version["interval"]),
                version["search"],
            ]
            for version in versions
        ],
    )


def _method_document(name: str, method: "type[Method]") -> dict[str, Any]:
    from ..methods.contract import Random, Trains
    from ..study.space import method_space

    return {
        "name": name,
        "can": _tasks(method.clusterer_type),
        "can_with": {setting: _tasks(kind) for setting, kind in method.clusterer_with.items()},
        "gradients": issubclass(method, Trains),
        "seeded": issubclass(method, Random),
        "searched": sorted(method_space(name).parameters),
        "presets": sorted(method_space(name).presets),
        "source": method.source,
    }


def _tasks(clusterer: "type[Clusterer]") -> list[str]:
    from ..methods.contract import Bounds, Decodes, Generates, Traverses

    tasks = {"reconstruct": Decodes, "sample": Generates, "traverse": Traverses, "elbo": Bounds}
    return ["embed", *(task for task, base in tasks.items() if issubclass(clusterer, base))]


def _capabilities(method: dict[str, Any]) -> str:
    others = [f"with {setting}: {', '.join(can)}" for setting, can in method["can_with"].items()]
    return "; ".join([", ".join(method["can"]), *others])


def _show_settings(name: str, method: "type[Method]", *, json: bool, markdown: bool) -> None:
    from dataclasses import fields

    from ..study.space import method_space

    params = method_space(name).parameters
    settings = [
        {
            "name": field.name,
            "default": field.default,
            "type": type(field.default).__name__,
            **field.metadata,
            "searched": params[field.name].describe() if field.name in params else None,
        }
        for field in fields(method.config_type)
    ]
    rows = [_setting_row(setting) for setting in settings]
    headings = ["setting", "default", "allowed", "searched", "meaning"]
    if json:
        show_json({**_method_document(name, method), "settings": settings})
    elif markdown:
        show(_markdown_table(headings, rows))
    else:
        show_facts([("method", name), ("source", method.source)])
        show("")
        show_table(headings, rows, whole=("setting",))


_KINDS = {"str": "text", "bool": "true, false", "int": "whole number", "float": "number"}


def _setting_row(setting: dict[str, Any]) -> list[str]:
    from ..reports.words import range_text

    bounds = {"at least": setting["low"], "at most": setting["high"]}
    allowed = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    return [
        setting["name"],
        str(setting["default"]),
        ", ".join(map(str, setting["choices"]))
        or " and ".join(allowed)
        or _KINDS.get(setting["type"], setting["type"]),
        "" if setting["searched"] is None else range_text(setting["searched"]),
        setting["meaning"] + (f" [{setting['unit']}]" if setting["unit"] else ""),
    ]


def _version_documents(name: str | None, uri: str) -> list[dict[str, Any]]:
    from ..sqlite import database_file

    path = database_file(uri)
    if path is not None and not path.is_file():  # connecting would create the file
        return []
    from ..registry import Registry

    registry = Registry(uri)
    names = registry.names() if name is None else [name]
    return [_version_document(one) for model in names for one in registry.versions(model)]


def _version_document(version: "Version") -> dict[str, Any]:
    figures = {
        name: float(version.tags[f"tuner.{name}"])
        for name in ("score", "interval_low", "interval_high")
        if f"tuner.{name}" in version.tags
    }
    return {
        "name": version.name,
        "version": version.number,
        "aliases": list(version.aliases),
        "score": figures.get("score"),
        "interval": [v for k, v in figures.items() if k != "score"],
        "search": version.tags.get("tuner.search", ""),
        "uri": version.uri,
        "run_id": version.run_id,
    }


def _markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
