"""`civicloom trace`: the events of one correlation id, such as a case, across the services."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import open_database

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
    as_json: Annotated[bool, typer.Option("--json", help="Print OTLP/JSON for a collector.")] = False,
) -> None:
    """Show the events of a case as a tree of causes.

    Each line has the service, the event, the time since its cause and the index in the log. An event whose
    cause is not in the log (a citizen's act, a unit's action, a timer) is a root of the tree, and its
    time is counted from the start of the trace.
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
    typer.echo(f"trace {spans[0].trace}: {_count(len(spans), 'event')} of {_count(services, 'service')}")
    for line in lines(spans):
        typer.echo(line)


async def _read(reference: str) -> "list[Span]":
    from services.audit.tracing.read import find, read_page

    async with open_database("audit") as database:
        correlation = await find(database.pool, reference)
        found: list[Span] = []
        start: int | None = 0 if correlation is not None else None
        while correlation is not None and start is not None:
            page, start = await read_page(database.pool, correlation, start, _PAGE)
            found += page
        return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
