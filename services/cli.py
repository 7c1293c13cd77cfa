"""`civicloom`: gathers the commands in `services.commands`.

Exit codes: 0 done; 1 not done (a sentence on stderr says why) or, for checks, differences found; 2 bad usage.
"""

import logging
import sys
from importlib import import_module
from pkgutil import iter_modules

import typer

from services import commands


def build() -> typer.Typer:
    """The application with every command module registered, in alphabetical order."""
    cli = typer.Typer(
        name="civicloom",
        help="Operate Civicloom: topics, contracts, data and the log.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cli.callback()(_root)
    for module in sorted(iter_modules(commands.__path__), key=lambda found: found.name):
        import_module(f"{commands.__name__}.{module.name}").register(cli)
    return cli


def _root() -> None:
    # Its presence keeps subcommands by name even while there is only one.
    pass


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code; what we name ends as one sentence, not as a trace."""
    # Without any handler Python would print a client's own words beside our sentence.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        result = build()(arguments, prog_name="civicloom", standalone_mode=False)
    except typer.TyperException as error:
        return _say(error.format_message(), error.exit_code)
    except typer.Abort:
        return _say("stopped", 130)
    except Exception as error:
        if not _is_ours(error):
            raise
        return _say(str(error), 1)
    return result if isinstance(result, int) else 0


def _is_ours(error: Exception) -> bool:
    from shared.errors import CivicloomError

    return isinstance(error, CivicloomError)


def _say(sentence: str, code: int) -> int:
    print(f"civicloom: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
