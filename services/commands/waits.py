"""`civicloom waits`: what services expect about cases, and what an operator gives up of it."""

import asyncio
import datetime as dt
import getpass
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

from services.environment import AsJson, open_database, service_named
from services.expected import expected

if TYPE_CHECKING:
    from shared.settings import ServiceName
    from shared.unit_of_work.database import Database
    from shared.unit_of_work.ended_waits import Wait
    from shared.unit_of_work.expectations import Kind

T = TypeVar("T")

waits = typer.Typer(
    name="waits", no_args_is_help=True, help="List what cases wait for, and give up what will never come."
)


def register(cli: typer.Typer) -> None:
    cli.add_typer(waits)


@waits.command("list")
def list_(
    *,
    service: Annotated[str | None, typer.Option(help="Show only what this service expects.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Show what has waited for this long. Default: UNANSWERED_AFTER_SECONDS.",
            show_default=False,
        ),
    ] = None,
    ended: Annotated[
        bool, typer.Option("--all", help="Show intakes too that were given up and have not come.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many cases of each service.")] = 1000,
    after: Annotated[
        str, typer.Option(help="Show the cases after this one: the next page.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Show what cases wait for, by service.

    In the order of the cases, oldest first. It reads the tables, so it also works while the services are
    stopped. Exits 1 if anything is expected that was not given up.
    """
    from shared.settings import SERVICES

    _check_text("--after", after)

    async def page(database: "Database") -> "tuple[list[dict[str, Any]], str | None]":
        return await _page(database, minutes, ended=ended, after=after, limit=limit)

    found, more = [], []
    options = f"{' --all' if ended else ''} --limit {limit}"
    if minutes is not None:
        options += f" --minutes {minutes:g}"
    for name in [service_named(service, "--service")] if service is not None else SERVICES:
        shown, last = _with(name, page)
        found += shown
        if last is not None:
            more.append(f"civicloom waits list --service {name} --after {last}{options}")
    if as_json:
        typer.echo(json.dumps(found, default=str))
    else:
        typer.echo("\n".join(_line(one) for one in found) or "no case waits")
        for command in more:
            typer.echo(f"there may be more: {command}")
    return int(any(one["ended_at"] is None for one in found))


@waits.command()
def end(
    service: Annotated[
        str, typer.Argument(help="One of publisher, inquiry, routing and audit.", show_default=False)
    ],
    case: Annotated[str, typer.Argument(help="The number or the id of the case.", show_default=False)],
    *,
    kind: Annotated[str, typer.Option(help="What is given up, as the list shows it.", show_default=False)],
    party: Annotated[str, typer.Option(help="The unit, of a delivery.", show_default=False)] = "",
    reason: Annotated[str, typer.Option(help="Why it is given up; kept on record.", show_default=False)],
    operator: Annotated[
        str, typer.Option(help="Your name for the record in the log.", default_factory=getpass.getuser)
    ],
    as_json: AsJson = False,
) -> None:
    """Give up what a service expects about a case.

    For what exists nowhere any more and cannot be sent again. Who did it and why is an event in the log. An
    intake that comes after all is still applied, and so is any other answer.
    """
    from pydantic import ValidationError

    from shared.unit_of_work.ended_waits import NoSuchWait

    name, known = service_named(service), _kind(kind)
    _check_text("CASE", case)
    _check_text("--party", party)
    if not reason.strip():
        raise typer.BadParameter("say why it is given up", param_hint="--reason")

    async def give_up(database: "Database") -> dict[str, Any]:
        return await _end(database, (case, known, party), operator, reason)

    try:
        done = _with(name, give_up)
    except NoSuchWait as error:
        raise typer.BadParameter(f"{error}: see `civicloom waits list`", param_hint="CASE") from error
    except ValidationError as error:
        faults = ", ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        raise typer.BadParameter(faults, param_hint="--reason, --operator") from error
    if as_json:
        typer.echo(json.dumps(done, default=str))
    else:
        typer.echo(
            f"{name}: case {done['number'] or done['case']} no longer waits for {expected(kind, party)}"
        )


async def _page(
    database: "Database", minutes: float | None, *, ended: bool, after: str, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The waits of a page, and the last case of it if there may be more."""
    from shared.clock import machine_now
    from shared.unit_of_work.ended_waits import list_waits

    seconds = minutes * 60 if minutes is not None else database.settings.unanswered_after_seconds
    before = machine_now() - dt.timedelta(seconds=seconds)
    found = await list_waits(database.pool, before, ended=ended, after=after, limit=limit)
    zone = _zone(database)
    shown = [_shown(database.settings.service, one, zone) for one in found]
    full = len({one.subject for one in found}) == limit
    return shown, found[-1].subject if full else None


async def _end(
    database: "Database", wait: "tuple[str, Kind, str]", operator: str, reason: str
) -> dict[str, Any]:
    from shared.unit_of_work.ended_waits import Wait, end_wait, waiting_case
    from shared.unit_of_work.expectations import Expectation

    reference, kind, party = wait
    zone = _zone(database)
    subject = await waiting_case(database.pool, reference, zone)
    since = await end_wait(database, Expectation(subject, kind, party), operator, reason)
    done = _shown(database.settings.service, Wait(subject, kind, party, since, None), zone)
    return {name: done[name] for name in ("service", "case", "number", "kind", "party", "since")}


def _shown(service: str, wait: "Wait", zone: ZoneInfo) -> dict[str, Any]:
    from shared.ids import case_number, is_id

    return {
        "service": service,
        "case": wait.subject,
        "number": case_number(wait.subject, zone) if is_id(wait.subject) else None,
        "kind": wait.kind,
        "party": wait.party or None,
        "since": wait.since,
        "ended_at": wait.ended_at,
    }


def _line(one: dict[str, Any]) -> str:
    case = f"{one['number']} {one['case']}" if one["number"] else one["case"]
    kind = f"{one['kind']} {one['party']}" if one["party"] else one["kind"]
    state = f", given up {_minute(one['ended_at'])}" if one["ended_at"] else ""
    return (
        f"{one['service']}  {case}  {kind}  waits for {expected(one['kind'], one['party'])} "
        f"since {_minute(one['since'])}{state}"
    )


def _minute(moment: dt.datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _zone(database: "Database") -> ZoneInfo:
    from shared.packs import open_pack

    return open_pack(database.settings).calendar.tz


def _kind(name: str) -> "Kind":
    from shared.unit_of_work.expectations import KINDS

    found = next((kind for kind in KINDS if kind == name), None)
    if found is None:
        raise typer.BadParameter(f"{name} is none of {', '.join(KINDS)}", param_hint="--kind")
    return found


def _check_text(name: str, text: str) -> None:
    """Raises typer.BadParameter for bytes that are no text: PostgreSQL would refuse them."""
    if not text.isprintable():
        raise typer.BadParameter("it has characters that cannot be printed", param_hint=name)


def _with(service: "ServiceName", work: "Callable[[Database], Awaitable[T]]") -> T:
    async def run() -> T:
        async with open_database(service) as database:
            return await work(database)

    return asyncio.run(run())
