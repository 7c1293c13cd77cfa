"""What a unit of work has not written yet, and the statements that write it: one per table."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
import orjson

from shared import sql
from shared.clock import machine_now
from shared.decision import TimerSpec
from shared.errors import Conflict
from shared.unit_of_work.erasure import erase
from shared.unit_of_work.expectations import Expectation, write_expectations

QUERIES = sql.load("shared.unit_of_work")
Sequences = dict[str, int]
"""Source -> last ordinal: emitted, if the source is ours, applied otherwise."""


class OutboxRow(NamedTuple):
    """A row of the outbox before it is written. `type` is for the metrics only."""

    topic: str
    key: str
    value: bytes
    words: bytes | None
    delivery: str | None
    type: str


@dataclass(slots=True)
class Pending:
    """All that is not written yet. Copied before a savepoint, so that it can be rolled back with it."""

    sequences: dict[str, Sequences] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)
    timers: dict[tuple[str, str], TimerSpec | None] = field(default_factory=dict)
    processed_actions: dict[tuple[str, str], None] = field(default_factory=dict)
    expectations: dict[Expectation, bool] = field(default_factory=dict)
    erased: dict[str, None] = field(default_factory=dict)
    new: dict[str, None] = field(default_factory=dict)

    def copy(self) -> "Pending":
        # Quadratic if taken before every handler call of a batch: each copy holds all events before it. Only
        # the repetition with savepoints does so, and a batch has at most 2,000 records.
        return Pending(
            {id_: dict(own) for id_, own in self.sequences.items()},
            dict(self.changed),
            list(self.outbox),
            dict(self.timers),
            dict(self.processed_actions),
            dict(self.expectations),
            dict(self.erased),
            dict(self.new),
        )


async def write(connection: Any, pending: Pending, grace: dt.timedelta) -> None:
    """Writes everything. A deadline check fires `grace` after its due moment.

    Raises Conflict if a new aggregate exists already, and asyncpg's UniqueViolationError if another
    transaction has applied one of the actions.
    """
    await _write_aggregates(connection, pending)
    await _write_outbox(connection, pending.outbox)
    await _write_timers(connection, pending.timers, grace)
    await write_expectations(connection, pending.expectations)
    if pending.processed_actions:
        sources, identifiers = zip(*pending.processed_actions, strict=True)
        await connection.execute(
            QUERIES["insert_seen_events"], list(sources), list(identifiers), machine_now()
        )
    if pending.erased:
        # Last, so that it covers the rows that were just written.
        await erase(connection, pending.erased)


async def _write_aggregates(connection: Any, pending: Pending) -> None:
    new, sequences = sorted(pending.new), pending.sequences
    changed = sorted(pending.changed.keys() - pending.new.keys())
    if new:
        try:
            await connection.execute(
                QUERIES["insert_aggregates"], new, [_json(sequences[id_]) for id_ in new]
            )
        except asyncpg.UniqueViolationError as error:
            raise Conflict("an aggregate of this id exists already") from error
    if changed:
        await connection.execute(
            QUERIES["update_sequences"], changed, [_json(sequences[id_]) for id_ in changed]
        )


async def _write_outbox(connection: Any, rows: list[OutboxRow]) -> None:
    if not rows:
        return
    await connection.execute(
        QUERIES["insert_outbox"],
        [r.topic for r in rows],
        [r.key for r in rows],
        [r.value for r in rows],
        [r.words for r in rows],
        [r.delivery for r in rows],
        machine_now(),
    )


async def _write_timers(
    connection: Any, timers: dict[tuple[str, str], TimerSpec | None], grace: dt.timedelta
) -> None:
    cancelled = sorted(key for key, timer in timers.items() if timer is None)
    scheduled = sorted(
        ((*key, timer) for key, timer in timers.items() if timer is not None), key=lambda row: row[:2]
    )
    if cancelled:
        await connection.execute(
            QUERIES["cancel_timers"], [a for a, _ in cancelled], [k for _, k in cancelled]
        )
    if scheduled:
        await connection.execute(
            QUERIES["schedule_timers"],
            [aggregate for aggregate, _, _ in scheduled],
            [kind for _, kind, _ in scheduled],
            [t.due for _, _, t in scheduled],
            [t.due + grace if t.is_deadline_check else t.due for _, _, t in scheduled],
            [t.is_deadline_check for _, _, t in scheduled],
            [_json(t.data) for _, _, t in scheduled],
        )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
