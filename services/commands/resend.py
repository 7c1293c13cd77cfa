"""`civicloom resend`: sends again what a service's topic has lost."""

import asyncio
import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.environment import AsJson, open_database, service_named

if TYPE_CHECKING:
    from services.resend import Lost
    from shared.settings import ServiceName

_NAMED = 100


def register(cli: typer.Typer) -> None:
    cli.command("resend")(resend)


def resend(
    service: Annotated[
        str, typer.Argument(help="Whose topic: publisher, inquiry, routing or audit.", show_default=False)
    ],
    *,
    since: Annotated[
        str,
        typer.Option(
            help="Since when: a moment such as 2026-11-28T10:00+08:00, or an age such as 90m, 6h, 2d.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    as_json: AsJson = False,
) -> int:
    """Send again the events that a service's topic has lost.

    They go out with the same id, bytes and sequence, so that a reader who has one already drops it. They are
    taken from the log and from inquiry's receipts; statements of contacts, which go to a topic of their own,
    are made again from inquiry's tables, and offers that a unit has not answered from routing's. What nobody
    has kept is listed, and the command exits 1.
    """
    owner, moment = service_named(service), _moment(since)
    lost = asyncio.run(_run(owner, moment, dry_run=dry_run))
    found = [_found(one, dry_run=dry_run) for one in lost]
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo("\n".join(line for one in found for line in _lines(one, dry_run=dry_run)))
    return int(any(one["nowhere"] for one in found))


async def _run(service: "ServiceName", since: dt.datetime, *, dry_run: bool) -> "list[Lost]":
    from services.lost_contacts import find_lost_contacts
    from services.lost_offers import find_lost_offers
    from services.resend import find_lost
    from shared.kafka.admin import BrokerRefused
    from shared.kafka.client import KafkaError
    from shared.kafka.refusal import explain
    from shared.unit_of_work.sent import send_again

    async with open_database(service) as owner, open_database("audit") as audit:
        try:
            lost = [await find_lost(owner, audit, since)]
            if service == "inquiry":
                lost.append(await find_lost_contacts(owner, since))
            elif service == "routing":
                lost += await find_lost_offers(owner, since)
        except KafkaError as error:
            raise BrokerRefused(await explain(error, owner.settings.kafka, "read")) from error
        for one in lost if not dry_run else ():
            await send_again(owner, one.topic, one.found)
        return lost


def _found(lost: "Lost", *, dry_run: bool) -> dict[str, Any]:
    return {
        "topic": lost.topic,
        "found": len(lost.found),
        "sent": 0 if dry_run else len(lost.found),
        "nowhere": [_named(subject, sequence) for subject, sequence in lost.nowhere],
    }


def _lines(found: dict[str, Any], *, dry_run: bool) -> list[str]:
    verb = "would be sent again" if dry_run else "are sent again"
    lines = [f"{found['topic']}: {found['found']} lost events {verb}"]
    if nowhere := found["nowhere"]:
        lines.append(f"{len(nowhere)} events exist nowhere any longer:")
        lines += [
            f"  case {one['number'] or one['subject']}, sequence {one['sequence']}"
            for one in nowhere[:_NAMED]
        ]
    if len(nowhere) > _NAMED:
        lines.append(f"  and {len(nowhere) - _NAMED} more; --json names all")
    return lines


def _moment(text: str) -> dt.datetime:
    from shared.clock import machine_now

    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isascii() and text[:-1].isdigit():
        return machine_now() - dt.timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a moment nor an age such as 90m, 6h or 2d", param_hint="--since"
        ) from None
    return moment.astimezone()


def _named(subject: str, sequence: int) -> dict[str, Any]:
    from services.environment import read_settings
    from shared.ids import case_number, is_id
    from shared.packs import open_pack

    number = case_number(subject, open_pack(read_settings("inquiry")).calendar.tz) if is_id(subject) else None
    return {"subject": subject, "number": number, "sequence": sequence}
