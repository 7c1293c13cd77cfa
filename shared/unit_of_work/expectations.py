"""What a service waits for from another, and the cases that nobody answers.

A unit of work that hands a case on expects an answer, and the one that takes the answer fulfils it. What
stays unfulfilled for minutes is a case that was lost on the way, by whatever cause: this alarm shares nothing
with cursors, fingerprints, sequences or the outbox.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import asyncpg

from shared import sql
from shared.clock import machine_now

QUERIES = sql.load("shared.unit_of_work")

Kind = Literal["intake", "dispatch", "delivery", "answer", "contact"]
"""intake: the event that begins a case which others mention. dispatch: where routing has put an accepted
case. delivery: Kafka's word that an offer stands on the unit's topic. answer: what becomes of a reply.
contact: where a citizen who left an address wants to hear of the case."""
KINDS: tuple[Kind, ...] = ("intake", "dispatch", "delivery", "answer", "contact")


class Expectation(NamedTuple):
    """What is waited for; `party` is the unit of a delivery, otherwise empty."""

    subject: str
    kind: Kind
    party: str = ""


class Unanswered(NamedTuple):
    """An expectation that is overdue. `since` is machine time."""

    subject: str
    kind: Kind
    party: str
    since: dt.datetime


class Overdue(NamedTuple):
    """How many cases wait, or so many and more: a count looks at 10,000 expectations of each kind."""

    cases: int
    or_more: bool


async def write_expectations(connection: Any, changes: dict[Expectation, bool]) -> None:
    """Adds the expectations that map to True, unless they stand already, and deletes the others."""
    expected = sorted(one for one, is_expected in changes.items() if is_expected)
    fulfilled = sorted(one for one, is_expected in changes.items() if not is_expected)
    if expected:
        await connection.execute(QUERIES["insert_expectations"], *_by_column(expected), machine_now())
    if fulfilled:
        await connection.execute(QUERIES["delete_expectations"], *_by_column(fulfilled))


async def unanswered(
    reader: asyncpg.Connection | asyncpg.Pool, before: dt.datetime, limit: int
) -> list[Unanswered]:
    """What has been expected since before a moment of machine time, longest first."""
    rows = await reader.fetch(QUERIES["list_unanswered"], before, limit, KINDS)
    return [Unanswered(*row) for row in rows]


async def count_unanswered(
    reader: asyncpg.Connection | asyncpg.Pool, before: dt.datetime
) -> dict[Kind, Overdue]:
    """How many cases have waited since before that moment, by what they wait for; every kind is there."""
    rows = await reader.fetch(QUERIES["count_unanswered"], before, KINDS)
    return {row["kind"]: Overdue(row["cases"], row["or_more"]) for row in rows}


def _by_column(rows: Collection[Expectation]) -> list[list[str]]:
    return list(map(list, zip(*rows, strict=True)))
