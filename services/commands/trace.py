"""`civicloom trace`: one case, or whatever else has a correlation id, over the services."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.audit.tracing.spans import Span

_PAGE = 1000


def register(cli: typer.Typer) -> None:
    cli.command("trace")(trace)


def trace(
    reference: Annotated[
        str,
        typer.Argument(
            help="The id of a case or of any event, a correlation id, or a trace_id of the logs.",
            show_default=False,
        ),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="OTLP/JSON, as collectors take it.")] = False,
) -> None:
    """Show what followed from what: service, event, time since its cause, index in the log.

    Where the log does not hold the cause (a citizen's act, a unit's action, a timer) an event hangs at the
    beginning of its trace, and the time is counted from there.
    """
    from services.audit.tracing.otlp import document
    from services.audit.tracing.tree import lines

    spans = asyncio.run(_read(reference))
    if not spans:
        raise typer.BadParameter("the log has no trace of this id", param_hint="REFERENCE")
    if as_json:
        typer.echo(json.dumps(document(spans)))
        return
    services = len({span.service for span in spans})
    typer.echo(f"trace {spans[0].trace}: {_many(len(spans), 'event')} of {_many(services, 'service')}")
    for line in lines(spans):
        typer.echo(line)


async def _read(reference: str) -> "list[Span]":
    from services.audit.tracing.read import find, read_page
    from services.environment import opened

    async with opened("audit") as database:
        correlation = await find(database.pool, reference)
        found: list[Span] = []
        start: int | None = 0 if correlation is not None else None
        while correlation is not None and start is not None:
            page, start = await read_page(database.pool, correlation, start, _PAGE)
            found += page
        return found


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
