"""An operator gives up what another service had to say about a case: on the record, and for that case alone.

An intake that was given up keeps its row, marked: no later event of the case begins the wait again, and the
intake is still applied if it comes after all. Every other answer is applied whether it is expected or not, so
its row is deleted, and a new step of the case begins a new wait.
"""

import datetime as dt
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import asyncpg

from shared import sql
from shared.clock import machine_now
from shared.contracts.inquiry import NoteWords
from shared.contracts.registry import by_writer
from shared.errors import CivicloomError
from shared.ids import case_number, floor_id, is_id, read_case_number
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Expectation, Kind

QUERIES = sql.load("shared.unit_of_work")
_KEPT: frozenset[Kind] = frozenset({"intake"})


class NoSuchWait(CivicloomError):
    """The service does not expect this about this case."""


class Wait(NamedTuple):
    """An expectation. `since` and `ended_at` are machine time; `ended_at` is None unless it was given up."""

    subject: str
    kind: Kind
    party: str
    since: dt.datetime
    ended_at: dt.datetime | None


async def list_waits(
    reader: asyncpg.Pool, before: dt.datetime, *, ended: bool, after: str, limit: int
) -> list[Wait]:
    """What has been expected since before a moment of machine time, by case.

    With `ended` what was given up too.

    A page: all of at most `limit` cases, whose ids are above `after`.
    """
    rows = await reader.fetch(QUERIES["list_waits"], after, before, ended, limit)
    return [Wait(*row) for row in rows]


async def waiting_case(reader: asyncpg.Pool, reference: str, zone: ZoneInfo) -> str:
    """The id of the case with this number in any spelling, if something is expected about it.

    What is no number is returned as it is. Raises NoSuchWait if no case of that number waits.
    """
    number = read_case_number(reference)
    if number is None:
        return reference
    for row in await reader.fetch(QUERIES["waiting_between"], *_ids_around(number)):
        if is_id(row["subject"]) and case_number(row["subject"], zone) == number:
            return str(row["subject"])
    raise NoSuchWait(f"nothing is expected about case {number}")


async def end_wait(database: Database, wait: Expectation, operator: str, reason: str) -> dt.datetime:
    """Gives an expectation up, and emits an event of the service that says who did and why.

    Returns since when it had waited. Raises NoSuchWait if it does not stand or was given up before, and
    pydantic's ValidationError for an operator or a reason that an event cannot hold.
    """
    words = NoteWords(text=reason)
    async with database.transaction([wait.subject]) as tx:
        if wait.kind in _KEPT:
            since = await tx.connection.fetchval(QUERIES["mark_ended"], *wait, machine_now())
        else:
            since = await tx.connection.fetchval(QUERIES["end_wait"], *wait)
        if since is None:
            raise NoSuchWait(_absent(database.settings.service, wait))
        data_type: type[Any] = by_writer(tx.service, "wait_ended")
        data = data_type(kind=wait.kind, party=wait.party or None, since=since, operator=operator)
        tx.emit(data, subject=wait.subject, words=words, actor=f"operator:{operator}")
    return cast(dt.datetime, since)


def _ids_around(number: str) -> tuple[str, str]:
    """Ids below and above those of the day of a case number, in whatever zone; no day, no ids."""
    try:
        day = dt.datetime.strptime(number[:8], "%Y%m%d").replace(tzinfo=dt.UTC)
        return floor_id(day - dt.timedelta(days=1)), floor_id(day + dt.timedelta(days=2))
    except (ValueError, OverflowError):
        return "", ""


def _absent(service: str, wait: Expectation) -> str:
    about = f"{wait.subject} and {wait.party}" if wait.party else wait.subject
    return f"{service} expects no {wait.kind} about {about}"
