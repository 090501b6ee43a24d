"""Flags that several commands share."""

from typing import Annotated

from typer import Option

from ..study.study import OBJECTIVES, SAMPLERS, SCHEDULERS, Study

DEFAULTS = Study()
METHOD = DEFAULTS.methods[0]
SWITCH = " "  # help shows no type where there is nothing to type

_WHAT, _HOW, _WHERE = "Data and settings", "How it runs", "Where things are"


def _completed(incomplete: str) -> list[str]:
    """Complete the last of several method names."""
    from ..methods import catalog

    head, comma, last = incomplete.rpartition(",")
    return [head + comma + name for name in catalog.names() if name.startswith(last)]


Methods = Annotated[
    str,
    Option(
        "--method",
        "-m",
        metavar="A,B,C|all",
        help="Methods to search (tuner methods lists them).",
        autocompletion=_completed,
        rich_help_panel=_WHAT,
    ),
]
Data = Annotated[
    str,
    Option(
        "--dataset",
        "-d",
        metavar="NAME|FILE",
        help="A name (tuner datasets lists them), a folder of images, or a .npy, .npz, .csv, "
        ".parquet, .arrow or .feather file.",
        rich_help_panel=_WHAT,
    ),
]
Labels = Annotated[
    str | None,
    Option(
        "--labels",
        metavar="COLUMN",
        help="Column of a table that holds classes: for audits, never for training.",
        rich_help_panel=_WHAT,
    ),
]
Fixed = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="Fix a setting, METHOD.KEY=VALUE for one method alone; repeatable.",
        rich_help_panel=_WHAT,
    ),
]
Spaces = Annotated[
    list[str] | None,
    Option(
        "--space",
        metavar="[METHOD=]FILE",
        help="Replace entries of a method's search space; repeatable.",
        rich_help_panel=_WHAT,
    ),
]
Trials = Annotated[
    int,
    Option("--trials", "-n", metavar="N", help="Configurations to try.", rich_help_panel=_WHAT),
]
Replicas = Annotated[
    int,
    Option(
        "--replicas",
        metavar="N",
        help="Seeds trained side by side in each trial.",
        rich_help_panel=_WHAT,
    ),
]
Epochs = Annotated[
    int | None,
    Option(
        "--epochs",
        metavar="N",
        help="Most passes over the data in a training.",
        show_default="the method's own",
        rich_help_panel=_WHAT,
    ),
]
Seed = Annotated[
    int,
    Option("--seed", metavar="N", help="What all randomness follows.", rich_help_panel=_WHAT),
]
Objective = Annotated[
    str,
    Option(
        "--objective",
        metavar="NAME",
        help=f"What is maximised: {', '.join(OBJECTIVES)}.",
        rich_help_panel=_WHAT,
    ),
]
UseLabels = Annotated[
    bool,
    Option(
        "--use-labels",
        metavar=SWITCH,
        help="Let labels take part in the choice.",
        rich_help_panel=_WHAT,
    ),
]
Sampler = Annotated[
    str,
    Option(
        "--sampler",
        metavar="NAME",
        help=f"Who proposes trials: {', '.join(SAMPLERS)}.",
        rich_help_panel=_HOW,
    ),
]
Scheduler = Annotated[
    str,
    Option(
        "--scheduler",
        metavar="NAME",
        help=f"How bad trials are stopped early: {', '.join(SCHEDULERS)}.",
        rich_help_panel=_HOW,
    ),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        metavar="N",
        help="Trials that run at once.",
        show_default="as many as fit",
        rich_help_panel=_HOW,
    ),
]
Cpus = Annotated[
    float,
    Option("--cpus-per-trial", metavar="X", help="CPU cores of a trial.", rich_help_panel=_HOW),
]
Gpus = Annotated[
    float | None,
    Option(
        "--gpus-per-trial",
        metavar="X",
        help="GPUs of a trial; a fraction shares one.",
        show_default="0.25 where there is one",
        rich_help_panel=_HOW,
    ),
]
Budget = Annotated[
    str | None,
    Option(
        "--time-budget",
        metavar="TIME",
        help="Stop handing out trials after 90s, 30m, 2h or 1h30m.",
        rich_help_panel=_HOW,
    ),
]
Name = Annotated[
    str | None,
    Option(
        "--name",
        metavar="NAME",
        help="Name of the search.",
        show_default="METHOD-DATA-n",
        rich_help_panel=_WHERE,
    ),
]
Register = Annotated[
    str | None,
    Option(
        "--register",
        metavar="NAME",
        help="Name of the registered model.",
        show_default="the data's",
        rich_help_panel=_WHERE,
    ),
]
Address = Annotated[
    str | None,
    Option(
        "--address",
        metavar="HOST:PORT",
        envvar="RAY_ADDRESS",
        help="Ray cluster to join.",
        show_default="one is started here",
        rich_help_panel=_WHERE,
    ),
]
Storage = Annotated[
    str | None,
    Option(
        "--storage",
        metavar="URL",
        envvar="TUNER_STORAGE",
        help="Database of the ledger.",
        show_default="./tuner.db",
        rich_help_panel=_WHERE,
    ),
]
Artifacts = Annotated[
    str | None,
    Option(
        "--artifacts",
        metavar="FOLDER",
        envvar="TUNER_ARTIFACTS",
        help="Folder of the trials' files, which all machines see.",
        show_default="./tuner-artifacts",
        rich_help_panel=_WHERE,
    ),
]
Tracking = Annotated[
    str | None,
    Option(
        "--tracking-uri",
        metavar="URL",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow's server or database.",
        show_default="./mlflow.db",
        rich_help_panel=_WHERE,
    ),
]
Json = Annotated[
    bool, Option("--json", metavar=SWITCH, help="Print one JSON document instead of text.")
]
