"""`civicloom import`: turns the records of another system into inquiries."""

import asyncio
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import AsJson, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.inquiry.importing.run import ImportSummary, OnProgress
    from services.inquiry.importing.translate import Translator
    from shared.settings import CoreSettings

_File = typer.Argument(
    exists=True, dir_okay=False, readable=True, help="A CSV or JSON Lines file in UTF-8.", show_default=False
)
_Map = typer.Option(
    "--map", exists=True, dir_okay=False, readable=True, help="The mapping from columns to inquiries."
)


def register(cli: typer.Typer) -> None:
    cli.command("import")(import_)


def import_(
    *,
    file: Annotated[Path, _File],
    mapping: Annotated[Path, _Map],
    report: Annotated[
        Path | None,
        typer.Option(help="The file for rejected rows. By default it is FILE.rejected.csv.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Import the rows of a file as inquiries.

    Each row counts once, however often the command runs: after an interruption, run it again and it
    continues. Deadlines start at the import, and nobody is notified. It needs the environment of the service
    inquiry (DATABASE_URL, SECRET_KEY, PACK and so on). Exits 1 if rows were rejected: the report has line and
    reason.
    """
    report = report or file.with_name(f"{file.name}.rejected.csv")
    if report.resolve() == file.resolve() or not report.parent.is_dir():
        raise typer.BadParameter(
            f"{report} cannot be written: name a file in a folder that exists", param_hint="--report"
        )
    settings = read_settings("inquiry")
    translator = _translator(mapping, settings)
    started = time.monotonic()
    with _progress(file, shown=not as_json) as on_progress:
        outcome = asyncio.run(_run(settings, translator, file, report, on_progress))
    _print(outcome, report if outcome.rejected else None, time.monotonic() - started, as_json=as_json)
    return int(outcome.rejected > 0)


def _translator(path: Path, settings: "CoreSettings") -> "Translator":
    from services.inquiry.importing.mapping import load_mapping
    from services.inquiry.importing.translate import Translator
    from shared.packs import open_pack
    from shared.policy.errors import PolicyError

    pack = open_pack(settings)
    try:
        return Translator(*load_mapping(path), pack)
    except PolicyError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from error


async def _run(
    settings: "CoreSettings", translator: "Translator", file: Path, report: Path, on_progress: "OnProgress"
) -> "ImportSummary":
    from services.inquiry.importing.records import UnusableFile
    from services.inquiry.importing.run import Importer, ImportStopped
    from shared.infrastructure import is_infrastructure
    from shared.packs import Packs
    from shared.unit_of_work.database import Database

    waiting: set[str] = set()

    def on_wait(why: str) -> None:
        if why not in waiting:
            waiting.add(why)
            typer.echo(why, err=True)

    try:
        database = await Database.open(settings)
        try:
            importer = Importer(database, await Packs.open(database, settings), translator, file)
            outcome = await importer.run(on_progress, on_wait)
            await importer.finish(report)
        finally:
            await database.close()
    except UnusableFile as error:
        raise typer.BadParameter(str(error), param_hint="FILE") from error
    except Exception as error:
        if not is_infrastructure(error):
            raise
        raise ImportStopped(
            f"stopped by {type(error).__name__}: {error}; run it again to continue"
        ) from error
    return outcome


@contextmanager
def _progress(file: Path, *, shown: bool) -> "Iterator[OnProgress]":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(file.name, total=file.stat().st_size)
        yield lambda done: bar.update(task, completed=done)


def _print(outcome: "ImportSummary", report: Path | None, seconds: float, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        more = {"report": str(report) if report else None, "seconds": round(seconds, 3)}
        typer.echo(json.dumps(asdict(outcome) | more, ensure_ascii=False))
        return
    typer.echo(
        f"{outcome.rows} rows: {outcome.taken} taken, {outcome.already} already there, "
        f"{outcome.rejected} rejected ({seconds:.1f} s)"
    )
    if report:
        typer.echo(f"why: {report}")
