"""`civicloom status`: what waits and what was lost in the four services, and cases that nobody answers."""

import asyncio
import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.environment import AsJson, open_database
from services.expected import expected

if TYPE_CHECKING:
    from shared.settings import ServiceName
    from shared.unit_of_work.database import Database


def register(cli: typer.Typer) -> None:
    cli.command("status")(status)


def status(
    *,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Name the cases without an answer for this long. Default: UNANSWERED_AFTER_SECONDS.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Name at most this many cases a service.")] = 100,
    as_json: AsJson = False,
) -> int:
    """Show what waits, and which cases nobody answers.

    It reads the tables of the four services, so it also works while they are stopped. Exits 1 if anything
    needs a look.
    """
    from shared.settings import SERVICES

    async def look(service: "ServiceName") -> dict[str, Any]:
        async with open_database(service) as database:
            return await _look(database, service, minutes, limit)

    found = [asyncio.run(look(service)) for service in SERVICES]
    if as_json:
        typer.echo(json.dumps(found, default=str))
    else:
        for one in found:
            typer.echo("\n".join(_lines(one)))
    return int(any(_needs_a_look(one) for one in found))


async def _look(
    database: "Database", service: "ServiceName", minutes: float | None, limit: int
) -> dict[str, Any]:
    from shared.clock import machine_now
    from shared.ids import case_number, is_id
    from shared.packs import open_pack
    from shared.unit_of_work.expectations import unanswered
    from shared.unit_of_work.waiting import count_waiting

    after = minutes * 60 if minutes is not None else database.settings.unanswered_after_seconds
    overdue = await unanswered(database.pool, machine_now() - dt.timedelta(seconds=after), limit)
    zone = open_pack(database.settings).calendar.tz
    return {
        "service": service,
        **(await count_waiting(database.pool))._asdict(),
        "unanswered": [
            {
                "case": one.subject,
                "number": case_number(one.subject, zone) if is_id(one.subject) else None,
                "expects": one.kind,
                "party": one.party or None,
                "since": one.since,
            }
            for one in overdue
        ],
    }


def _needs_a_look(one: dict[str, Any]) -> bool:
    return bool(one["paused"] or one["dead_letters"] or one["unanswered"])


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [
        f"{one['service']:10} {one['outbox']} events to send, {one['paused']} of paused topics, "
        f"{one['parked_keys']} keys parked, {one['dead_letters']} dead letters"
    ]
    for case in one["unanswered"]:
        since = case["since"].astimezone().strftime("%Y-%m-%d %H:%M")
        expects = expected(case["expects"], case["party"])
        lines.append(f"  case {case['number'] or case['case']} waits for {expects} since {since}")
    return lines
