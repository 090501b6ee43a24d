"""The command line interface.

Results go to stdout, messages to stderr. An error is printed as one line, and its class sets the
exit code.
"""

import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import TunerError, UsageError, did_you_mean
from ..interrupts import received
from . import (
    completion,
    config_file,
    data,
    doctor,
    listing,
    output,
    registry,
    search,
    search_report,
    train,
    ui,
    viewing,
)
from .options import SWITCH

_HELP = ["--help", "-h"]
_INTERNAL, _INTERRUPTED = 70, 130
_LOUD = ("sqlalchemy", "alembic", "mlflow.store.db.utils")
_EXPECTED = {
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
    "int_parsing_size": "give a whole number of fewer digits",
    "int_type": "give a whole number",
    "float_type": "give a number",
    "greater_than_equal": "give at least {ge}",
    "less_than_equal": "give at most {le}",
}

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": _HELP},
)
for panel, commands in {
    "Search": (
        search.search,
        search.resume,
        search.status,
        search_report.report,
        train.train,
        doctor.doctor,
        search.sync,
        ui.ui,
    ),
    "Models": (
        listing.models,
        registry.promote,
        registry.rollback,
        registry.predict,
        registry.sample,
    ),
    "Methods and data": (listing.methods, listing.space, listing.datasets, data.data),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar=SWITCH, help="Show the version and exit.")
    ] = False,
) -> None:
    """Distributed hyperparameter search for deep generative clustering."""
    if version:
        from importlib.metadata import version as installed

        output.show(f"tuner {installed('tuner')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.show(context.get_help())
        raise typer.Exit(2)
    context.default_map, context.obj = _defaults(context)


def command_line() -> Any:
    """Return the commands, whose switches are shown without the name of a type."""
    group: Any = typer.main.get_command(app)
    for one in (group, *group.commands.values()):
        context = typer.Context(one, help_option_names=_HELP)
        for parameter in (*one.params, one.get_help_option(context)):
            if getattr(parameter, "is_bool_flag", False) and not parameter.secondary_opts:
                parameter.metavar = SWITCH
    return group


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are written to stderr."""
    if not _debugs():
        for library in _LOUD:  # an error has its traceback in debugging only
            logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    command = partial(
        command_line().main,
        list(arguments),
        prog_name="tuner",
        standalone_mode=False,
    )
    try:
        code = completion.run_for_bash(command) if _completes_for_bash() else command()
        sys.stdout.flush()
    except viewing.ToldError as error:
        return error.exit_code
    except TunerError as error:
        output.show_error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        output.show_error(_usage_message(error))
        return error.exit_code
    except BrokenPipeError:
        return output.discard_stdout()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        if _debugs():
            raise
        output.show_error(
            f"unexpected {type(error).__name__}: {error}; "
            "set TUNER_DEBUG=1 for a traceback and report this as a bug"
        )
        return _INTERNAL
    if code == _INTERRUPTED:
        output.show_error("interrupted")
        return 128 + received()
    return code if isinstance(code, int) else 0


def _completes_for_bash() -> bool:
    return os.environ.get("_TUNER_COMPLETE") == "complete_bash"


def _debugs() -> bool:
    return os.environ.get("TUNER_DEBUG") == "1"


def _defaults(context: typer.Context) -> tuple[dict[str, dict[str, object]], str]:
    """Return the defaults from the file in the current folder, by command, and its name."""
    commands = context.command.commands  # type: ignore[attr-defined]
    parameters = config_file.parameters_of(commands)
    flags = config_file.switches_of(parameters)
    found, source = config_file.read(_current_folder(), flags)
    defaults = {
        command: {parameters[command][flag].name: value for flag, value in own.items()}
        for command, own in found.items()
    }
    return defaults, source


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder was deleted: change to another one") from None


def _usage_message(error: typer.TyperException) -> str:
    """Return a usage error as one sentence that points to the help of the command."""
    context = getattr(error, "ctx", None)
    command = "tuner" if context is None else context.command_path
    return f"{_problem(error, context)}; see `{command} --help`"


def _problem(error: typer.TyperException, context: typer.Context | None) -> str:
    """Return what is wrong, and with which flag, variable or key of a file."""
    parameter, similar = getattr(error, "param", None), getattr(error, "possibilities", None)
    if similar:
        option = str(getattr(error, "option_name", ""))
        return f"no such option {option}{did_you_mean(option, similar)}"
    validation_errors = getattr(error.__cause__, "errors", None)
    if context is not None and parameter is not None and validation_errors is not None:
        first = validation_errors()[0]
        expected = _EXPECTED.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
        return f"{_origin(context, parameter)} {first['input']!r}: {expected}"
    message = error.format_message().rstrip(".").replace(". Did you", "; did you")
    return message[:1].lower() + message[1:]


def _origin(context: typer.Context, parameter: typer.CallbackParam) -> str:
    """Return where a value came from: a flag, an environment variable or a key in a file."""
    name = max(parameter.opts, key=len)
    if not name.startswith("-"):
        return str(parameter.metavar)
    source = context.get_parameter_source(str(parameter.name))
    kind = "" if source is None else source.name
    if kind == "DEFAULT_MAP":
        return f"{context.obj}: {name.removeprefix('--')}"
    return str(parameter.envvar) if kind == "ENVIRONMENT" else name
