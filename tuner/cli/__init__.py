"""The command line: parse, call, print.

stdout carries results, stderr the talk. Errors are one sentence, with the exit code of their kind.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TunerError, did_you_mean
from . import catalogues, checking, output, registry, searching, training
from . import config_file as settings
from .options import SWITCH
from .ui import ui

_INTERNAL, _INTERRUPTED = 70, 130
_EXPECTED = {
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
    "greater_than_equal": "give at least {ge}",
    "less_than_equal": "give at most {le}",
}

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for panel, commands in {
    "Search": (
        searching.search,
        searching.resume,
        searching.status,
        training.train,
        checking.doctor,
        searching.sync,
        ui,
    ),
    "Models": (
        catalogues.models,
        registry.promote,
        registry.rollback,
        registry.predict,
        registry.sample,
    ),
    "What there is": (catalogues.methods, catalogues.space, catalogues.datasets),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar=SWITCH, help="Print the version.")
    ] = False,
) -> None:
    """Search for the best deep generative clusterer of your data, and keep it."""
    if version:
        from importlib.metadata import version as installed

        output.show(f"tuner {installed('tuner')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.show(context.get_help())
        raise typer.Exit(2)
    context.default_map, context.obj = _defaults(context)


def main() -> None:
    """Run the command line of this process."""
    if not sys.warnoptions:  # they are for the author, and not one sentence
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; what goes wrong is told on stderr."""
    try:
        code = typer.main.get_command(app).main(
            list(arguments), prog_name="tuner", standalone_mode=False
        )
        sys.stdout.flush()
    except TunerError as error:
        output.complain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        output.complain(_sentence(error))
        return error.exit_code
    except BrokenPipeError:
        return output.leave_pipe()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        if os.environ.get("TUNER_DEBUG") == "1":
            raise
        output.complain(
            f"unexpected {type(error).__name__}: {error}; TUNER_DEBUG=1 shows where, please report"
        )
        return _INTERNAL
    if code == _INTERRUPTED:
        output.complain("interrupted")
    return code if isinstance(code, int) else 0


def _defaults(context: typer.Context) -> tuple[dict[str, dict[str, object]], str]:
    """Return the defaults that the current folder gives the commands, by parameter, and where."""
    parameters = {
        name: {
            option.removeprefix("--").replace("-", "_"): parameter
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--")
        }
        for name, command in context.command.commands.items()  # type: ignore[attr-defined]
    }
    flags = {
        name: {flag: bool(getattr(p, "is_flag", False)) for flag, p in own.items()}
        for name, own in parameters.items()
    }
    found, source = settings.read(Path.cwd(), flags)
    named = {
        command: {parameters[command][flag].name: value for flag, value in own.items()}
        for command, own in found.items()
    }
    return named, source


def _sentence(error: typer.TyperException) -> str:
    """Return a usage error in the words of this program."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    near, refused = getattr(error, "possibilities", None), getattr(error.__cause__, "errors", None)
    if near:
        message = f"no such option {getattr(error, 'option_name', '')}"
        message += did_you_mean(str(getattr(error, "option_name", "")), near)
    elif context is not None and parameter is not None and refused is not None:
        first = refused()[0]
        expected = _EXPECTED.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
        message = f"{_origin(context, parameter)} {first['input']!r}: {expected}"
    else:
        message = error.format_message().rstrip(".").replace(". Did you", "; did you")
        message = message[:1].lower() + message[1:]
    help_of = "tuner" if context is None else context.command_path
    return f"{message}; see `{help_of} --help`"


def _origin(context: typer.Context, parameter: typer.CallbackParam) -> str:
    """Return what a value came from: a flag, a variable, or a file of settings."""
    name = max(parameter.opts, key=len)
    if not name.startswith("-"):
        return str(parameter.metavar)
    source = context.get_parameter_source(str(parameter.name))
    kind = "" if source is None else source.name
    if kind == "DEFAULT_MAP":
        return f"{context.obj}: {name.removeprefix('--')}"
    return str(parameter.envvar) if kind == "ENVIRONMENT" else name
