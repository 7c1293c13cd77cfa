"""`civicloom losses`: what Kafka's topics have lost, as the services that read them found it."""

import asyncio
import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.environment import AsJson, open_database

if TYPE_CHECKING:
    from shared.inbox.topic_losses import TopicLoss
    from shared.settings import ServiceName

losses = typer.Typer(
    name="losses", no_args_is_help=True, help="List what topics have lost, and say that you have looked."
)

Operator = Annotated[str, typer.Option(help="Your name for the record.", default_factory=getpass.getuser)]


def register(cli: typer.Typer) -> None:
    cli.add_typer(losses)


@losses.command("list")
def list_(
    *,
    seen: Annotated[bool, typer.Option("--all", help="Show those that somebody has looked at too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show losses, newest first.

    Exits 1 if nobody has looked at one of them.
    """
    from dataclasses import asdict

    from shared.settings import SERVICES

    found: list[dict[str, Any]] = []
    for service in SERVICES:
        found += [{"service": service, **asdict(one)} for one in asyncio.run(_read(service, seen=seen))]
    if as_json:
        typer.echo(json.dumps(found, default=str))
    elif not found:
        typer.echo("no losses")
    else:
        for one in found:
            typer.echo(_line(one))
    return int(any(one["seen_at"] is None for one in found))


@losses.command()
def seen(
    topic: Annotated[str, typer.Argument(help="The topic, as `losses list` shows it.", show_default=False)],
    *,
    operator: Operator,
    as_json: AsJson = False,
) -> None:
    """Say that you have looked at a topic's losses.

    They are no longer shown, and stay on record.
    """
    from shared.settings import SERVICES

    count = sum(asyncio.run(_see(service, topic, operator)) for service in SERVICES)
    if not count:
        raise typer.BadParameter(f"no loss of {topic} waits to be looked at", param_hint="TOPIC")
    typer.echo(json.dumps({"topic": topic, "seen": count}) if as_json else f"{topic}: {count} seen")


async def _read(service: "ServiceName", *, seen: bool) -> "list[TopicLoss]":
    from shared.inbox.topic_losses import TopicLosses

    async with open_database(service) as database:
        return await TopicLosses(database).read(seen=seen)


async def _see(service: "ServiceName", topic: str, operator: str) -> int:
    from shared.inbox.topic_losses import NoSuchLoss, TopicLosses

    async with open_database(service) as database:
        try:
            return await TopicLosses(database).see(topic, operator)
        except NoSuchLoss:
            return 0


def _line(one: dict[str, Any]) -> str:
    from shared.inbox.topic_losses import REPLACED

    what = (
        f"was read up to {one['from_offset']}, and then was another log"
        if one["kind"] == REPLACED
        else f"offsets {one['from_offset']} to {one['to_offset'] - 1} were deleted before they were read"
    )
    times = f", {one['times']} times" if one["times"] > 1 else ""
    state = f"seen by {one['seen_by']}" if one["seen_at"] else "nobody has looked"
    return (
        f"{one['service']} {one['consumer']}  {one['topic']}/{one['partition']}  {what}{times}  "
        f"{one['found_at']:%Y-%m-%d %H:%M}  {state}"
    )
