"""Flags and arguments shared by several commands."""

from typing import Annotated

from typer import Argument, Option

from ..study.study import OBJECTIVES, SAMPLERS, SCHEDULERS, Study
from . import completion

DEFAULTS = Study()
METHOD = DEFAULTS.methods[0]
SWITCH = " "  # an empty metavar for flags without a value

_STUDY = "Study options"
_EXECUTION, _STORAGE = "Execution options", "Storage options"


Methods = Annotated[
    str,
    Option(
        "--method",
        "-m",
        metavar="METHODS",
        help="Comma-separated methods to search, or 'all' (see `tuner methods`).",
        autocompletion=completion.methods,
        rich_help_panel=_STUDY,
    ),
]
Data = Annotated[
    str,
    Option(
        "--dataset",
        "-d",
        metavar="NAME|PATH",
        help="Built-in dataset (see `tuner datasets`), folder of images, or .npy, .npz, .csv, "
        ".parquet, .arrow, .feather or .h5ad file.",
        autocompletion=completion.datasets,
        rich_help_panel=_STUDY,
    ),
]
Labels = Annotated[
    str | None,
    Option(
        "--labels",
        metavar="COLUMN",
        help="Table column with the classes, used for audits but never for training.",
        rich_help_panel=_STUDY,
    ),
]
Fixed = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="Fix a setting, or METHOD.KEY=VALUE for one method only (repeatable).",
        rich_help_panel=_STUDY,
    ),
]
Preset = Annotated[
    str | None,
    Option(
        "--preset",
        metavar="NAME",
        help="Settings to begin with: a name under `presets` in `tuner space METHOD`, e.g. paper.",
        autocompletion=completion.presets,
        show_default="those for the dataset, or for images of its size",
        rich_help_panel=_STUDY,
    ),
]
Spaces = Annotated[
    list[str] | None,
    Option(
        "--space",
        metavar="[METHOD=]FILE",
        help="YAML file that overrides a method's search space (repeatable).",
        rich_help_panel=_STUDY,
    ),
]
Trials = Annotated[
    int,
    Option("--trials", "-n", metavar="N", help="Number of trials.", rich_help_panel=_STUDY),
]
Replicas = Annotated[
    int,
    Option(
        "--replicas",
        metavar="N",
        help="Number of seeds trained side by side in each trial.",
        rich_help_panel=_STUDY,
    ),
]
Restarts = Annotated[
    int,
    Option(
        "--restarts",
        metavar="N",
        help="Candidates per replica, halved early by their score until one is left.",
        rich_help_panel=_STUDY,
    ),
]
Finalists = Annotated[
    int,
    Option(
        "--finalists",
        metavar="N",
        help="How many of the best trials' settings are trained again on fresh seeds.",
        rich_help_panel=_STUDY,
    ),
]
FinalistSeeds = Annotated[
    int,
    Option(
        "--finalist-seeds",
        metavar="N",
        help="Number of fresh seeds of each finalist.",
        rich_help_panel=_STUDY,
    ),
]
Epochs = Annotated[
    int | None,
    Option(
        "--epochs",
        metavar="N",
        help="Maximum number of epochs per training.",
        show_default="set by the method",
        rich_help_panel=_STUDY,
    ),
]
Seed = Annotated[
    int,
    Option("--seed", metavar="N", help="Random seed.", rich_help_panel=_STUDY),
]
Objective = Annotated[
    str,
    Option(
        "--objective",
        metavar="NAME",
        help=f"Objective to maximise: {', '.join(OBJECTIVES)}.",
        autocompletion=completion.one_of(OBJECTIVES),
        rich_help_panel=_STUDY,
    ),
]
UseLabels = Annotated[
    bool,
    Option(
        "--use-labels",
        metavar=SWITCH,
        help="Allow an objective that uses labels.",
        rich_help_panel=_STUDY,
    ),
]
Sampler = Annotated[
    str,
    Option(
        "--sampler",
        metavar="NAME",
        help=f"Algorithm that proposes trials: {', '.join(SAMPLERS)}.",
        autocompletion=completion.one_of(SAMPLERS),
        rich_help_panel=_EXECUTION,
    ),
]
Scheduler = Annotated[
    str,
    Option(
        "--scheduler",
        metavar="NAME",
        help=f"Algorithm that stops poor trials early: {', '.join(SCHEDULERS)}.",
        autocompletion=completion.one_of(SCHEDULERS),
        rich_help_panel=_EXECUTION,
    ),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        metavar="N",
        help="Maximum number of concurrent trials.",
        show_default="as many as fit",
        rich_help_panel=_EXECUTION,
    ),
]
Cpus = Annotated[
    float,
    Option(
        "--cpus-per-trial", metavar="X", help="CPU cores per trial.", rich_help_panel=_EXECUTION
    ),
]
Gpus = Annotated[
    float | None,
    Option(
        "--gpus-per-trial",
        metavar="X",
        help="GPUs per trial; a fraction shares a GPU between trials.",
        show_default="0.25 if a GPU is available",
        rich_help_panel=_EXECUTION,
    ),
]
Budget = Annotated[
    str | None,
    Option(
        "--time-budget",
        metavar="DURATION",
        help="Start no new trials after this time, e.g. 90s, 30m, 2h or 1h30m.",
        rich_help_panel=_EXECUTION,
    ),
]
Timeout = Annotated[
    str | None,
    Option(
        "--trial-timeout",
        metavar="DURATION",
        help="End a trial that takes longer, e.g. 30m, and run it once again.",
        rich_help_panel=_EXECUTION,
    ),
]
Name = Annotated[
    str | None,
    Option(
        "--name",
        metavar="NAME",
        help="Name of the search.",
        show_default="METHOD-DATA-n",
        rich_help_panel=_STUDY,
    ),
]
Register = Annotated[
    str | None,
    Option(
        "--register",
        metavar="NAME",
        help="Name of the registered model.",
        autocompletion=completion.models,
        show_default="name of the dataset",
        rich_help_panel=_STUDY,
    ),
]
Address = Annotated[
    str | None,
    Option(
        "--address",
        metavar="HOST:PORT",
        envvar="RAY_ADDRESS",
        help="Ray cluster to connect to.",
        show_default="start one on this machine",
        rich_help_panel=_EXECUTION,
    ),
]
Storage = Annotated[
    str | None,
    Option(
        "--storage",
        metavar="URL",
        envvar="TUNER_STORAGE",
        help="Database URL of the ledger.",
        show_default="./tuner.db",
        rich_help_panel=_STORAGE,
    ),
]
Artifacts = Annotated[
    str | None,
    Option(
        "--artifacts",
        metavar="FOLDER",
        envvar="TUNER_ARTIFACTS",
        help="Folder for trial files, accessible to all machines; or s3://BUCKET/FOLDER.",
        show_default="./tuner-artifacts",
        rich_help_panel=_STORAGE,
    ),
]
Tracking = Annotated[
    str | None,
    Option(
        "--tracking-uri",
        metavar="URL",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow tracking server or database URL.",
        show_default="./mlflow.db",
        rich_help_panel=_STORAGE,
    ),
]
OneSearch = Annotated[
    str,
    Argument(
        metavar="NAME",
        help="Name of the search.",
        autocompletion=completion.searches,
        show_default=False,
    ),
]
AnySearch = Annotated[
    str | None,
    Argument(
        metavar="NAME",
        help="Name of the search.",
        autocompletion=completion.searches,
        show_default="all searches",
    ),
]
Progress = Annotated[
    str,
    Option(
        "--progress",
        metavar="MODE",
        help="How progress is shown: auto, live, plain, json (lines) or quiet.",
        autocompletion=completion.progress_modes,
    ),
]
Quiet = Annotated[
    bool,
    Option("--quiet", "-q", metavar=SWITCH, help="Same as --progress quiet: errors and result."),
]
Json = Annotated[bool, Option("--json", metavar=SWITCH, help="Print the result as JSON.")]
