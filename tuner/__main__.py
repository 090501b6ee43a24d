"""Run the command line as `tuner` or `python -m tuner`."""

import sys
import warnings

from . import interrupts


def main() -> None:
    """Run the command line with the arguments of this process and exit."""
    interrupts.install()
    if not sys.warnoptions:  # warnings are for developers
        warnings.simplefilter("ignore")
    try:
        from .cli.app import run
        from .cli.output import give_up_stderr, prepare_streams

        prepare_streams()
        code = run(sys.argv[1:])
        give_up_stderr()
    except KeyboardInterrupt:  # during the imports
        sys.stderr.write("error: interrupted\n")
        code = 128 + interrupts.received()
    interrupts.uninstall()
    sys.exit(code)


if __name__ == "__main__":
    main()
