"""Every command of `civicloom`: its help, its answer to bad usage, and its errors."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
import typer

from services import cli, commands
from shared.errors import Conflict

MODULES = sorted(module.name for module in iter_modules(commands.__path__))


def walk(command: typer.core.TyperGroup, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every group and command below, with the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, *path, name)


ALL = dict(walk(typer.main.get_command(cli.build())))
COMMANDS = [path for path, command in ALL.items() if not hasattr(command, "commands")]
GROUPS = [path for path in ALL if path not in COMMANDS]


def name_of(path: tuple[str, ...]) -> str:
    return " ".join(path)


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_help_is_sentences(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*path, "--help"]) == 0
    assert capsys.readouterr().err == ""
    command: Any = ALL[path]
    for text in [command.help, *(parameter.help for parameter in command.params)]:
        assert text
        assert text[0].isupper()
        assert text.endswith(".")


@pytest.mark.parametrize("path", GROUPS, ids=name_of)
def test_no_line_of_a_list_of_commands_is_cut(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*path, "--help"])
    _, listed = capsys.readouterr().out.split("Commands:\n")
    for line in listed.strip().splitlines():
        assert line.endswith(".")
        assert not line.endswith("...")


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
        ["topics", "diff", "--bootstrap", "127.0.0.1:1", "--file", "no-such-file.yaml"],
        ["migrate", "--database-url", "nonsense"],
        ["contracts", "check", "--folder", __file__],
        ["contracts", "write", "--folder", __file__],
        ["contracts", "publish"],
        ["contracts", "publish", "1.0", "--folder", __file__],
        ["run", "--pack", "no-such-city"],
        ["run", "--data-dir", __file__],
        ["run", "--port", "0"],
        ["audit", "verify", "no-such-folder", "--key", "nonsense"],
        ["audit", "proof", "no-such-file", "--event", "no-such-file", "--key", "@no-such-file"],
        ["dlq", "list", "--service", "audit"],
        ["dlq", "show", "nonsense", "1"],
        ["dlq", "replay", "routing", "0"],
        ["dlq", "discard", "routing", "1"],
        ["dlq", "discard", "routing", "1", "--reason", " "],
        ["import", "no-such-file.csv", "--map", "no-such-file.yaml"],
        ["losses", "seen"],
        ["losses", "list", "unexpected"],
        ["outbox", "unexpected"],
        ["policy", "check", "no-such-folder"],
        ["policy", "diff", __file__, __file__],
        ["trace"],
        ["trace", "one", "two"],
        ["waits", "list", "--service", "nonsense"],
        ["waits", "list", "--limit", "0"],
        ["waits", "list", "--after", "\udcff"],
        ["waits", "end", "routing", "x", "--kind", "intake"],
        ["waits", "end", "routing", "x", "--kind", "intake", "--reason", " "],
        ["waits", "end", "routing", "x", "--kind", "nonsense", "--reason", "gone"],
        ["waits", "end", "nonsense", "x", "--kind", "intake", "--reason", "gone"],
        ["waits", "end", "routing", "\udcff", "--kind", "intake", "--reason", "gone"],
        ["--wrong"],
        *([*path, "--wrong"] for path in COMMANDS),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith("civicloom: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["outbox"],
        ["trace", "nonsense"],
        ["dlq", "list"],
        ["dlq", "show", "routing", "1"],
        ["losses", "list"],
        ["waits", "list"],
        ["waits", "end", "routing", "x", "--kind", "intake", "--reason", "gone"],
        ["import", __file__, "--map", __file__],
    ],
    ids=" ".join,
)
def test_a_command_without_a_services_environment_names_the_missing_setting(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    assert cli.main(arguments) == 2
    answer = capsys.readouterr()
    assert "SECRET_KEY: Field required" in answer.err
    assert (answer.out, answer.err.count("\n")) == ("", 1)


def test_an_error_of_ours_ends_as_a_sentence_and_not_as_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application = typer.Typer()

    @application.command()
    def fails() -> None:
        raise Conflict("the case is closed")

    monkeypatch.setattr(cli, "build", lambda: application)
    assert cli.main([]) == 1
    assert capsys.readouterr().err == "civicloom: the case is closed\n"


def test_an_unreachable_database_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "--database-url", "postgres://nobody@127.0.0.1:1/nothing"]) == 1
    assert capsys.readouterr().err.startswith("civicloom: no database answers at DATABASE_URL")


def test_any_other_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
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
