"""`civicloom restore`: brings services whose databases came from a backup back to work, without a fork."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import AsJson
from shared.errors import CivicloomError

if TYPE_CHECKING:
    from services.restoring import Report


def register(cli: typer.Typer) -> None:
    cli.command("restore")(restore)


def restore(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="A backup to put into the empty databases first; without it, they hold one already.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """Restore a backup and what came after it.

    What topics and log still hold is taken back, then the services may work again. Exits 1 if something is
    listed that a person has to look at.
    """
    from pydantic import ValidationError

    from services.backup import put_back
    from services.restoring import restore_all
    from shared.infrastructure import is_infrastructure
    from shared.kafka.client import KafkaError
    from shared.settings import describe_fault

    def progress(step: str) -> None:
        if not as_json:
            typer.echo(f"{step} ...", err=True)

    async def work() -> "Report":
        if folder is not None:
            progress(f"putting back {folder}")
            await put_back(folder)
        return await restore_all(progress)

    try:
        report = asyncio.run(work())
    except ValidationError as error:
        raise typer.BadParameter(describe_fault(error), param_hint="environment") from error
    except Exception as error:
        if not (isinstance(error, CivicloomError | KafkaError) or is_infrastructure(error)):
            raise
        typer.echo(f"civicloom restore: {error or type(error).__name__}; the services stay closed", err=True)
        return 1
    _print(report, as_json=as_json)
    return int(bool(report.forgotten or report.incomplete or report.gone))


def _print(report: "Report", *, as_json: bool) -> None:
    if as_json:
        document = {
            "epoch": report.epoch,
            "said": report.said,
            "read_again": report.read_again,
            "renumbered": report.renumbered,
            "cases": report.cases,
            "incomplete": report.incomplete,
            "forgotten": report.forgotten,
            "gone": report.gone,
            "log": report.log,
        }
        typer.echo(json.dumps(document, default=str, ensure_ascii=False))
        return
    typer.echo(
        f"epoch {report.epoch}: {report.said} events on the topics, {report.read_again} records read again, "
        f"{len(report.cases)} cases rebuilt, {report.renumbered} waiting events renumbered"
    )
    for line in report.incomplete:
        typer.echo(f"incomplete: {line}")
    for one in report.forgotten:
        typer.echo("forgotten by {service}: {type} about {subject} at {at} by {actor}".format(**one))
    for topic, partition, first, end in report.gone:
        typer.echo(f"gone: {topic}/{partition} no longer has the offsets from {first} to {end}")
