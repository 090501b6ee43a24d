"""The commands that say what there is: methods, their spaces, data sets, models."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from . import values
from .options import SWITCH, Json, Tracking
from .output import say, show, show_facts, show_json, show_table

if TYPE_CHECKING:
    from ..methods.contract import Clusterer, Method
    from ..registry import Version

OneMethod = Annotated[str, Argument(metavar="NAME", help="Name of a method.", show_default=False)]
AnyMethod = Annotated[
    str | None, Argument(metavar="[NAME]", help="Name of a method.", show_default=False)
]
AnyModel = Annotated[
    str | None, Argument(metavar="[NAME]", help="Name of a model.", show_default=False)
]
Markdown = Annotated[
    bool, Option("--markdown", metavar=SWITCH, help="Print the table as Markdown.")
]


def methods(name: AnyMethod = None, json: Json = False, markdown: Markdown = False) -> None:
    """List the methods, or the settings of one."""
    from ..methods import catalog

    if name is not None:
        _settings(name, catalog.method(name), json=json, markdown=markdown)
        return
    listed = [_described(one, catalog.method(one)) for one in catalog.names()]
    rows = [[one["name"], _abilities(one), one["source"]] for one in listed]
    if json:
        show_json(listed)
    elif markdown:
        show(_as_markdown(["method", "can", "source"], rows))
    else:
        show_table(["method", "can", "source"], rows)


def space(name: OneMethod, json: Json = False) -> None:
    """Print the search space of a method, as --space takes it."""

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
    """List the data sets that have a name."""
    from dataclasses import asdict

    from ..data import catalog

    listed = catalog()
    if json:
        show_json([asdict(one) for one in listed])
        return
    show_table(
        ["data set", "points", "shape", "classes", "source"],
        [
            [
                one.name,
                f"{one.points:,}",
                " × ".join(map(str, one.shape)),
                str(one.classes),
                one.source,
            ]
            for one in listed
        ],
    )


def models(name: AnyModel = None, tracking: Tracking = None, json: Json = False) -> None:
    """List the registered models, or the versions of one."""
    uri = values.locations(None, tracking, None).tracking_uri
    listed = _versions(name, uri)
    if json:
        show_json(listed)
        return
    if not listed:
        say("no registered model yet: a search registers its champion")
        return
    show_table(
        ["model", "version", "aliases", "score", "interval", "search"],
        [
            [
                one["name"],
                str(one["version"]),
                ", ".join(one["aliases"]),
                "" if one["score"] is None else f"{one['score']:.3f}",
                " to ".join(f"{bound:.3f}" for bound in one["interval"]),
                one["search"],
            ]
            for one in listed
        ],
    )


def _described(name: str, method: "type[Method]") -> dict[str, Any]:
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
    return ["embed", *(task for task, able in tasks.items() if issubclass(clusterer, able))]


def _abilities(one: dict[str, Any]) -> str:
    others = [f"with {setting}: {', '.join(can)}" for setting, can in one["can_with"].items()]
    return "; ".join([", ".join(one["can"]), *others])


def _settings(name: str, method: "type[Method]", *, json: bool, markdown: bool) -> None:
    from dataclasses import fields

    from ..study.space import method_space

    params = method_space(name).parameters
    listed = [
        {
            "name": field.name,
            "default": field.default,
            "type": type(field.default).__name__,
            **field.metadata,
            "searched": params[field.name].describe() if field.name in params else None,
        }
        for field in fields(method.config_type)
    ]
    rows = [_setting_row(one) for one in listed]
    headings = ["setting", "default", "allowed", "searched", "meaning"]
    if json:
        show_json({**_described(name, method), "settings": listed})
    elif markdown:
        show(_as_markdown(headings, rows))
    else:
        show_facts([("method", name), ("source", method.source)])
        show("")
        show_table(headings, rows)


def _setting_row(one: dict[str, Any]) -> list[str]:
    from .report import ranged

    bounds = {"at least": one["low"], "at most": one["high"]}
    allowed = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    return [
        one["name"],
        str(one["default"]),
        ", ".join(map(str, one["choices"])) or " and ".join(allowed) or one["type"],
        "" if one["searched"] is None else ranged(one["searched"]),
        one["meaning"] + (f" [{one['unit']}]" if one["unit"] else ""),
    ]


def _versions(name: str | None, uri: str) -> list[dict[str, Any]]:
    from ..sqlite import database_file

    path = database_file(uri)
    if path is not None and not path.is_file():  # connecting would create it
        return []
    from ..registry import Registry

    registry = Registry(uri)
    wanted = registry.names() if name is None else [name]
    return [_version(one) for model in wanted for one in registry.versions(model)]


def _version(version: "Version") -> dict[str, Any]:
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


def _as_markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
