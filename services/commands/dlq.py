"""`civicloom dlq`: dead letters, events that a service could not apply and that wait for an operator."""

import asyncio
import datetime as dt
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from services.environment import AsJson

if TYPE_CHECKING:
    from shared.inbox.dead_letters import DeadLetters, Selection
    from shared.settings import ServiceName

T = TypeVar("T")

dlq = typer.Typer(name="dlq", no_args_is_help=True, help="List, show, replay or discard dead letters.")

Service = Annotated[str, typer.Argument(help="One of publisher, inquiry and routing.", show_default=False)]
Number = Annotated[int, typer.Argument(min=1, help="The number that `dlq list` shows.", show_default=False)]
SomeNumber = Annotated[
    int | None, typer.Argument(min=1, help="The number that `dlq list` shows.", show_default=False)
]
OfTopic = Annotated[str | None, typer.Option("--topic", help="All of this topic.", show_default=False)]
WithError = Annotated[str | None, typer.Option("--error", help="All with this error.", show_default=False)]
Before = Annotated[
    dt.datetime | None,
    typer.Option("--before", help="All recorded before this moment, UTC.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Operator = Annotated[
    str, typer.Option(help="Your name for the record in the log.", default_factory=getpass.getuser)
]


def register(cli: typer.Typer) -> None:
    cli.add_typer(dlq)


@dlq.command("list")
def list_(
    *,
    service: Annotated[str | None, typer.Option(help="Show only those of this service.")] = None,
    resolved: Annotated[bool, typer.Option("--all", help="Show resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many of each service.")] = 1000,
    after: Annotated[int, typer.Option(min=0, help="Show those with higher numbers: the next page.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Show dead letters and paused partitions.

    Oldest first. Exits 1 if any of them is open.
    """
    from dataclasses import asdict

    holders = [service] if service else [*_holders()]
    found, more = [], []
    for name in holders:
        letters = _with(name, lambda dead: dead.list(resolved=resolved, limit=limit, after=after))
        found += [{"service": name, **asdict(letter)} for letter in letters]
        if len(letters) == limit:
            more.append(f"civicloom dlq list --service {name} --after {letters[-1].id}")
    if as_json:
        typer.echo(json.dumps(found, default=str, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(found)) or "no dead letters")
        for command in more:
            typer.echo(f"there may be more: {command}")
        for name in holders:
            for one in _with(name, lambda dead: dead.paused()):
                typer.echo(
                    f"{name}: partition {one.partition} of {one.topic} is paused until "
                    f"{one.paused_until:%Y-%m-%d %H:%M:%S} UTC, since too many of its records are bad"
                )
    return int(any(one["resolution"] is None for one in found))


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        state = one["resolution"] or ("open, its case is erased" if one["erased"] else "open")
        several = f"{one['records']} records  " if one["records"] > 1 else ""
        yield (
            f"{one['service']} {one['id']}  {state}  {one['event_type'] or '?'}  {several}"
            f"key {one['key'] or '?'} ({one['waiting']} waiting)  {one['error']}: {one['detail']}"
        )


@dlq.command()
def show(service: Service, number: Number, *, as_json: AsJson = False) -> None:
    """Show the bytes of a dead letter.

    These are the value as it was on its topic and the words that came with it. The words are deleted once
    the letter is resolved or its case erased. Of several records without a readable key the first is shown;
    the others are on the topic as long as it keeps records.
    """
    kept = _with(service, lambda dead: dead.bytes_of(number))
    value = None if kept.value is None else kept.value.decode("utf-8", "backslashreplace")
    words = None if kept.words is None else kept.words.decode("utf-8", "backslashreplace")
    if as_json:
        shown: dict[str, object] = {"value": value, "words": words, "erased": kept.erased}
        if kept.last_offset is not None:
            shown |= {"records": kept.records, "offset": kept.offset, "last_offset": kept.last_offset}
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo(value if value is not None else f"({'the value is gone' if kept.erased else 'no value'})")
    if words is not None:
        typer.echo(f"words: {words}")
    elif kept.erased:
        typer.echo("the words are gone: the letter is resolved or its case erased")
    else:
        typer.echo("no words")
    if kept.last_offset is not None:
        typer.echo(
            f"the first of {kept.records} records without a readable key between the offsets {kept.offset} "
            f"and {kept.last_offset} of {kept.topic}, partition {kept.partition}; the topic has the others "
            "until its retention ends. They can only be discarded: their sender sends again what matters."
        )


@dlq.command()
def replay(
    service: Service,
    number: SomeNumber = None,
    *,
    topic: OfTopic = None,
    error: WithError = None,
    before: Before = None,
    yes: Yes = False,
    operator: Operator,
    as_json: AsJson = False,
) -> None:
    """Retry a dead letter and its key's later events.

    The service does so within about a second. Without a number all open ones that the options select; those
    without a readable key stay.
    """
    if number is not None:
        _check_alone(topic, error, before)
        _with(service, lambda dead: dead.replay(number, operator))
        _done(service, number, "replayed", as_json)
        return
    selection = _selection(topic, error, before)
    _confirm(service, selection, "replay", yes)
    _all_done(service, "replayed", _with(service, lambda dead: dead.replay_all(selection, operator)), as_json)


@dlq.command()
def discard(
    service: Service,
    number: SomeNumber = None,
    *,
    reason: Annotated[
        str, typer.Option(help="Why the event is given up; kept on record.", show_default=False)
    ],
    topic: OfTopic = None,
    error: WithError = None,
    before: Before = None,
    yes: Yes = False,
    operator: Operator,
    as_json: AsJson = False,
) -> None:
    """Give up a dead letter and unblock its key.

    The next event of the key is applied then. Who did it and why is an event in the log. Without a number
    all open ones that the options select.
    """
    if not reason.strip():
        raise typer.BadParameter("say why it is given up", param_hint="--reason")
    if number is not None:
        _check_alone(topic, error, before)
        _with(service, lambda dead: dead.discard(number, operator, reason))
        _done(service, number, "discarded", as_json)
        return
    selection = _selection(topic, error, before)
    _confirm(service, selection, "discard", yes)
    discarded = _with(service, lambda dead: dead.discard_all(selection, operator, reason))
    _all_done(service, "discarded", discarded, as_json)


@dlq.command()
def resume(
    service: Service,
    topic: Annotated[str, typer.Argument(help="The topic that `dlq list` shows.", show_default=False)],
    *,
    allow: Annotated[
        int, typer.Option(min=0, help="Let so many bad records more pass in the next hour.")
    ] = 0,
    as_json: AsJson = False,
) -> int:
    """Read a paused topic on at once.

    It is paused again when too many of its records are bad, unless --allow lets them pass. Exits 1 if the
    topic is not paused.
    """
    resumed = _with(service, lambda dead: dead.resume(topic, allow=allow))
    if as_json:
        typer.echo(json.dumps({"service": service, "topic": topic, "resumed": resumed}))
    else:
        typer.echo(f"{resumed} partitions of {topic} are read on" if resumed else f"{topic} is not paused")
    return int(resumed == 0)


def _selection(topic: str | None, error: str | None, before: dt.datetime | None) -> "Selection":
    from shared.clock import UTC
    from shared.inbox.dead_letters import Selection

    if topic is None and error is None and before is None:
        raise typer.BadParameter(
            "say which: a number, or one of --topic, --error and --before", param_hint="NUMBER"
        )
    return Selection(topic, error, before.replace(tzinfo=UTC) if before is not None else None)


def _check_alone(*options: object) -> None:
    if any(option is not None for option in options):
        raise typer.BadParameter(
            "a number stands alone, without --topic, --error and --before", param_hint="NUMBER"
        )


def _confirm(service: str, selection: "Selection", verb: str, yes: bool) -> None:
    """Shows how many dead letters are meant; goes on if there are some and the operator agrees."""
    count = _with(service, lambda dead: dead.count(selection))
    staying = count.without_key if verb == "replay" else 0
    meant = count.letters - staying
    stay = f" ({staying} without a readable key stay)" if staying else ""
    typer.echo(f"{meant} open dead letters of {service}{stay}", err=True)
    if yes or not meant:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"say --yes to {verb} them without being asked", param_hint="--yes")
    typer.confirm(f"{verb} them?", abort=True, err=True)


def _done(service: str, number: int, resolution: str, as_json: bool) -> None:
    done = {"service": service, "id": number, "resolution": resolution}
    typer.echo(json.dumps(done) if as_json else f"{service} {number}: {resolution}")


def _all_done(service: str, resolution: str, count: int, as_json: bool) -> None:
    done = {"service": service, "count": count, "resolution": resolution}
    typer.echo(json.dumps(done) if as_json else f"{service}: {count} {resolution}")


def _holders() -> "list[ServiceName]":
    """The services that apply events, and so can have dead letters."""
    from shared.contracts.registry import REGISTRY
    from shared.settings import SERVICES

    return [name for name in SERVICES if f"civic.{name}.deadletter_discarded.v1" in REGISTRY]


def _with(service: str, work: "Callable[[DeadLetters], Awaitable[T]]") -> T:
    from services.environment import open_database
    from shared.inbox.dead_letters import DeadLetters, NoSuchDeadLetter

    holder = next((name for name in _holders() if name == service), None)
    if holder is None:
        raise typer.BadParameter(f"{service} is none of {', '.join(_holders())}", param_hint="SERVICE")

    async def run() -> T:
        async with open_database(holder) as database:
            return await work(DeadLetters(database))

    try:
        return asyncio.run(run())
    except NoSuchDeadLetter as error:
        raise typer.BadParameter(str(error), param_hint="NUMBER") from error
