"""`civicloom dlq`: dead letters, events that a service could not apply and that wait for an operator."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from services.environment import AsJson

if TYPE_CHECKING:
    from shared.inbox.dead_letters import DeadLetters
    from shared.settings import ServiceName

T = TypeVar("T")

dlq = typer.Typer(name="dlq", no_args_is_help=True, help="List, show, replay or discard dead letters.")

Service = Annotated[str, typer.Argument(help="One of publisher, inquiry and routing.", show_default=False)]
Number = Annotated[int, typer.Argument(min=1, help="The number that `dlq list` shows.", show_default=False)]
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
    as_json: AsJson = False,
) -> int:
    """Show dead letters, oldest first.

    Exits 1 if any of them is open.
    """
    from dataclasses import asdict

    found = []
    for name in [service] if service else [*_holders()]:
        letters = _with(name, lambda dead: dead.list(resolved=resolved))
        found += [{"service": name, **asdict(letter)} for letter in letters]
    if as_json:
        typer.echo(json.dumps(found, default=str, ensure_ascii=False))
    elif not found:
        typer.echo("no dead letters")
    else:
        for one in found:
            state = one["resolution"] or ("open, its case is erased" if one["erased"] else "open")
            typer.echo(
                f"{one['service']} {one['id']}  {state}  {one['event_type'] or '?'}  "
                f"key {one['key'] or '?'} ({one['waiting']} waiting)  {one['error']}: {one['detail']}"
            )
    return int(any(one["resolution"] is None for one in found))


@dlq.command()
def show(service: Service, number: Number, *, as_json: AsJson = False) -> None:
    """Show the bytes of a dead letter.

    These are the value as it was on its topic and the words that came with it. The words are deleted once
    the letter is resolved or its case erased.
    """
    kept = _with(service, lambda dead: dead.bytes_of(number))
    value = None if kept.value is None else kept.value.decode("utf-8", "backslashreplace")
    words = None if kept.words is None else kept.words.decode("utf-8", "backslashreplace")
    if as_json:
        shown = {"value": value, "words": words, "erased": kept.erased}
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo(value if value is not None else f"({'the value is gone' if kept.erased else 'no value'})")
    if words is not None:
        typer.echo(f"words: {words}")
    elif kept.erased:
        typer.echo("the words are gone: the letter is resolved or its case erased")
    else:
        typer.echo("no words")


@dlq.command()
def replay(service: Service, number: Number, *, operator: Operator, as_json: AsJson = False) -> None:
    """Retry a dead letter and its key's later events.

    The service does so within about a second.
    """
    _with(service, lambda dead: dead.replay(number, operator))
    _done(service, number, "replayed", as_json)


@dlq.command()
def discard(
    service: Service,
    number: Number,
    *,
    reason: Annotated[
        str, typer.Option(help="Why the event is given up; kept on record.", show_default=False)
    ],
    operator: Operator,
    as_json: AsJson = False,
) -> None:
    """Give up a dead letter and unblock its key.

    The next event of the key is applied then. Who did it and why is an event in the log.
    """
    if not reason.strip():
        raise typer.BadParameter("say why it is given up", param_hint="--reason")
    _with(service, lambda dead: dead.discard(number, operator, reason))
    _done(service, number, "discarded", as_json)


def _done(service: str, number: int, resolution: str, as_json: bool) -> None:
    done = {"service": service, "id": number, "resolution": resolution}
    typer.echo(json.dumps(done) if as_json else f"{service} {number}: {resolution}")


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
