"""The delivery ledger and push batches."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.publisher.domain.notices import CaseStep
from services.publisher.queries.statements import SQL, Queryable
from services.publisher.queries.subscriptions import SubscriptionLane
from shared.contracts.publisher import Lane
from shared.ids import derived_id
from shared.unit_of_work.transaction import Tx

DeliveryKind = Literal["publication", "notice", "confirmation"]


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A ledger row that a worker holds. `id` is the Message-ID or webhook-id of every attempt.

    `subject` is the publication, inquiry or subscription that it is about; `recipient` the subscription, or
    the inquiry whose contact it is; `at` the business time of what it reports.
    """

    id: str
    kind: DeliveryKind
    lane: Lane
    subject: str
    recipient: str
    version: int | None
    step: str | None
    at: dt.datetime
    attempts: int


class NewNotice(NamedTuple):
    """A notice about a step on one lane. `waiting`: for a contact that may name the lane."""

    step: CaseStep
    lane: Lane
    state: Literal["pending", "waiting"]


class AttemptRow(NamedTuple):
    """The result of one attempt as it is written. `due_at` is machine time."""

    id: str
    attempts: int
    state: Literal["sent", "failed", "pending"]
    due_at: dt.datetime
    error: str | None


class PushRow(NamedTuple):
    """A finished ledger row of a push."""

    id: str
    lane: Lane
    state: Literal["sent", "failed"]
    attempts: int


@dataclass(frozen=True, slots=True)
class PushProgress:
    """How many deliveries of a version's push are in one state; `state` is None for a push to nobody."""

    version: int
    started_at: dt.datetime
    closed_at: dt.datetime | None
    state: str | None
    deliveries: int


async def insert_notices(tx: Tx, notices: Sequence[NewNotice], due: dt.datetime) -> None:
    """Ledger rows of notices; their ids derive from the step's event and the lane."""
    if not notices:
        return
    await tx.connection.execute(
        SQL["insert_notices"],
        [derived_id(step.cause, "notice", lane) for step, lane, _ in notices],
        [lane for _, lane, _ in notices],
        [step.inquiry for step, _, _ in notices],
        [step.name for step, _, _ in notices],
        [step.at for step, _, _ in notices],
        [state for _, _, state in notices],
        due,
    )


async def release_waiting_notices(tx: Tx, lanes: Sequence[tuple[str, Lane]], due: dt.datetime) -> None:
    """Makes waiting notices due; `lanes` are (inquiry, lane) that contacts name."""
    await tx.connection.execute(
        SQL["release_waiting_notices"], [case for case, _ in lanes], [lane for _, lane in lanes], due
    )


async def drop_waiting_notices(tx: Tx, inquiries: Sequence[str]) -> None:
    """Deletes notices that still wait for a lane that the contact does not name."""
    await tx.connection.execute(SQL["drop_waiting_notices"], list(inquiries))


async def drop_open_notices(tx: Tx, inquiries: Sequence[str]) -> None:
    """Deletes the unfinished notices of erased cases."""
    await tx.connection.execute(SQL["drop_open_notices"], list(inquiries))


async def insert_confirmation(tx: Tx, identifier: str, subscription: str, due: dt.datetime) -> None:
    """The ledger row of a confirmation mail."""
    await tx.connection.execute(SQL["insert_confirmation"], identifier, subscription, tx.now, due)


async def open_push_batch(tx: Tx, publication: str, version: int) -> None:
    """A push starts."""
    await tx.connection.execute(SQL["open_push_batch"], publication, version, tx.now)


async def insert_push(
    tx: Tx, publication: str, version: int, subscribers: Sequence[SubscriptionLane], due: dt.datetime
) -> None:
    """One ledger row per subscriber; ids derive from publication, version and subscription."""
    await tx.connection.execute(
        SQL["insert_push"],
        [derived_id(publication, f"push {version}", each.id) for each in subscribers],
        [each.id for each in subscribers],
        [each.lane for each in subscribers],
        publication,
        version,
        tx.now,
        due,
    )


async def is_push_open(tx: Tx, publication: str, version: int) -> bool:
    """Whether a row of the push is unfinished."""
    return bool(await tx.connection.fetchval(SQL["push_is_open"], publication, version))


async def close_push_batch(tx: Tx, publication: str, version: int) -> bool:
    """Closes the push; False if it was closed before."""
    closed = await tx.connection.fetchval(SQL["close_push_batch"], publication, version, tx.now)
    return closed is not None


async def push_rows(tx: Tx, publication: str, version: int) -> AsyncIterator[PushRow]:
    """The rows of a closed push by id."""
    async for row in tx.connection.cursor(SQL["push_rows"], publication, version):
        yield PushRow(row["id"], row["lane"], row["state"], row["attempts"])


async def push_progress(db: Queryable, publication: str) -> list[PushProgress]:
    """The pushes of a publication by version and state, newest version first."""
    return [PushProgress(**dict(row)) for row in await db.fetch(SQL["push_progress"], publication)]


async def claim_deliveries(
    db: Queryable, lane: Lane, *, bulk: bool, now: dt.datetime, lease_end: dt.datetime, limit: int
) -> list[ClaimedDelivery]:
    """Marks up to `limit` due rows of a lane as `sending` until `lease_end` (machine time)."""
    rows = await db.fetch(SQL["claim_deliveries"], lane, bulk, now, lease_end, limit)
    return [ClaimedDelivery(**dict(row)) for row in rows]


async def release_deliveries(db: Queryable, deliveries: Sequence[ClaimedDelivery], due: dt.datetime) -> None:
    """Gives claimed rows back without counting the attempt."""
    await db.execute(
        SQL["release_deliveries"],
        [each.id for each in deliveries],
        [each.attempts for each in deliveries],
        due,
    )


async def recheck(db: Queryable, delivery: str) -> str | None:
    """Why a claimed delivery must not be sent after all, as its error code; None if it may be."""
    reason: str | None = await db.fetchval(SQL["recheck"], delivery)
    return reason


async def record_results(tx: Tx, rows: Sequence[AttemptRow]) -> set[str]:
    """Writes results of attempts that still hold their lease; gives the ids that were written."""
    written = await tx.connection.fetch(
        SQL["record_results"],
        [row.id for row in rows],
        [row.attempts for row in rows],
        [row.state for row in rows],
        [row.due_at for row in rows],
        [row.error for row in rows],
        [tx.now if row.state != "pending" else None for row in rows],
    )
    return {row["id"] for row in written}
