"""What every command of `civicloom` has in common."""

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest
import typer

from services import cli, commands
from shared.errors import Conflict

MODULES = sorted(module.name for module in iter_modules(commands.__path__))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for module in MODULES:
        assert f"  {module.rstrip('_')} " in shown


@pytest.mark.parametrize("module", MODULES)
def test_every_module_registers_itself(module: str) -> None:
    application = typer.Typer()
    import_module(f"{commands.__name__}.{module}").register(application)
    assert application.registered_groups or application.registered_commands


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["topics", "frobnicate"],
        ["topics", "apply", "--replication", "none"],
        ["topics", "diff", "--bootstrap", "127.0.0.1:port"],
        ["topics", "diff", "--bootstrap", "127.0.0.1:1", "--pack", "no-such-city"],
        ["migrate", "--database-url", "nonsense"],
        ["contracts", "check", "--folder", __file__],
        ["run", "--pack", "no-such-city"],
        ["run", "--data-dir", __file__],
        ["--wrong"],
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith("civicloom: ")
    assert answer.err.count("\n") == 1


def test_what_we_name_ends_as_a_sentence_and_not_as_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application = typer.Typer()

    @application.command()
    def fails() -> None:
        raise Conflict("the case is closed")

    monkeypatch.setattr(cli, "build", lambda: application)
    assert cli.main([]) == 1
    assert capsys.readouterr().err == "civicloom: the case is closed\n"


def test_a_database_that_is_away_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "--database-url", "postgres://nobody@127.0.0.1:1/nothing"]) == 1
    assert capsys.readouterr().err.startswith("civicloom: no database answers at DATABASE_URL")


def test_what_we_do_not_name_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    application = typer.Typer()

    @application.command()
    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "build", lambda: application)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_help_loads_neither_the_kafka_client_nor_the_database_driver() -> None:
    script = (
        "import sys; from services import cli; cli.main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('aiokafka', 'asyncpg', 'fastapi', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
