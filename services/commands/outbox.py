"""`civicloom outbox`: events that are committed and not yet on Kafka."""

import asyncio
import json
from typing import TYPE_CHECKING

import typer

from services.environment import AsJson, open_database

if TYPE_CHECKING:
    from shared.settings import ServiceName


def register(cli: typer.Typer) -> None:
    cli.command("outbox")(outbox)


def outbox(*, as_json: AsJson = False) -> int:
    """Show waiting events by service and topic.

    Exits 1 if a topic is paused because the broker refuses its events.
    """
    from shared.outbox.relay import QUERIES
    from shared.settings import SERVICES

    async def count(service: "ServiceName") -> list[dict[str, object]]:
        async with open_database(service) as database:
            rows = await database.pool.fetch(QUERIES["count_outbox"])
            return [{"service": service, **dict(row)} for row in rows]

    found = [row for service in SERVICES for row in asyncio.run(count(service))]
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for row in found:
            typer.echo(
                f"{row['service']:10} {row['topic']}  {row['waiting']} waiting, {row['set_aside']} paused"
            )
        if not found:
            typer.echo("outboxes are empty")
    return int(any(row["set_aside"] for row in found))
