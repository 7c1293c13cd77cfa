"""`civicloom`: the command line made of the modules in `services.commands`.

Exit codes: 0 done; 1 failed, with a sentence on stderr, or a check found differences; 2 bad usage.
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
    """With a callback, typer keeps subcommands by name even if there is only one."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code.

    Our own errors end as one sentence on stderr; all others keep their traceback.
    """
    # Without a handler Python would print the log lines of client libraries beside our sentence.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        result = build()(arguments, prog_name="civicloom", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except typer.Abort:
        return _fail("stopped", 130)
    except Exception as error:
        if not _is_ours(error):
            raise
        return _fail(str(error), 1)
    return result if isinstance(result, int) else 0


def _is_ours(error: Exception) -> bool:
    from shared.errors import CivicloomError

    return isinstance(error, CivicloomError)


def _fail(sentence: str, code: int) -> int:
    print(f"civicloom: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
