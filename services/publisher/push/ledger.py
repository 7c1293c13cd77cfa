"""The delivery ledger: who has to be told what, and what became of every attempt.

An attempt is committed as `sending` before the network is touched, and its outcome after. What is still
`sending` when its lease ends has an unknown outcome and is claimed again, under the same id.
"""

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from services.publisher import subscriptions
from services.publisher.domain.outcomes import GiveUp, Outcome, Sent, TryAgain, wait_after
from services.publisher.metrics import DELIVERIES
from services.publisher.push import batches
from services.publisher.queries import QUERIES
from shared.clock import machine_now
from shared.contracts.publisher import Lane, NoticeFailed, NoticeSent
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

# Longer than any attempt may take, so that a lease that ends means a crash.
LEASE = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A ledger row in the hands of a worker. `id` is the Message-ID or webhook-id of every attempt."""

    id: str
    kind: str
    lane: Lane
    subject: str
    recipient: str
    version: int | None
    step: str | None
    at: dt.datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to."""

    delivery: Claimed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Entry:
    attempt: Attempt
    state: str
    due_at: dt.datetime
    reason: str | None


class Ledger:
    """The ledger of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, lane: Lane, *, bulk: bool, limit: int) -> list[Claimed]:
        """Up to `limit` rows that are due, committed as `sending` before this returns."""
        now = machine_now()
        rows = await self._database.pool.fetch(
            QUERIES["claim_deliveries"], lane, bulk, now, now + LEASE, limit
        )
        return [Claimed(**dict(row)) for row in rows]

    async def release(self, deliveries: Sequence[Claimed]) -> None:
        """Gives back what was claimed and surely not attempted; it does not count."""
        await self._database.pool.execute(
            QUERIES["release_deliveries"],
            [each.id for each in deliveries],
            [each.attempts for each in deliveries],
            machine_now(),
        )

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Writes the outcomes with their events in one transaction; rows that others have claimed are left.

        Emits push.notice_sent, push.notice_failed, push.batch_closed, subscription.ended.
        """
        entries = [_entry(attempt) for attempt in attempts]
        ended = _ended(entries)
        locked = {entry.attempt.delivery.subject for entry in entries}
        locked.update(each for group in ended.values() for each in group)
        async with self._database.transaction(locked) as tx:
            written = await self._write(tx, entries)
            _emit_notices(tx, written)
            await subscriptions.end(tx, ended["gone"], "gone")
            await subscriptions.end(tx, ended["failing"], "failing")
            await tx.connection.execute(QUERIES["forget_webhooks"], _gone_webhooks(entries))
            for publication, version in sorted(_pushes(written)):
                await batches.close_if_done(tx, publication, version)
        for entry in written:
            delivery = entry.attempt.delivery
            DELIVERIES.labels(delivery.kind, delivery.lane, entry.state).inc()

    async def _write(self, tx: Tx, entries: Sequence[_Entry]) -> list[_Entry]:
        rows = await tx.connection.fetch(
            QUERIES["record_outcomes"],
            [entry.attempt.delivery.id for entry in entries],
            [entry.attempt.delivery.attempts for entry in entries],
            [entry.state for entry in entries],
            [entry.due_at for entry in entries],
            [entry.reason for entry in entries],
            [tx.now if entry.state != "pending" else None for entry in entries],
        )
        ours = {row["id"] for row in rows}
        return [entry for entry in entries if entry.attempt.delivery.id in ours]


def _entry(attempt: Attempt) -> _Entry:
    now = machine_now()
    match attempt.outcome:
        case Sent():
            return _Entry(attempt, "sent", now, None)
        case GiveUp(reason):
            return _Entry(attempt, "failed", now, reason)
        case TryAgain(reason, retry_after, _):
            fraction = secrets.randbelow(1001) / 1000
            wait = wait_after(attempt.delivery.attempts, fraction, retry_after)
            if wait is None:
                return _Entry(attempt, "failed", now, reason)
            return _Entry(attempt, "pending", now + wait, reason)


def _ended(entries: Sequence[_Entry]) -> dict[subscriptions.Reason, list[str]]:
    """Which subscriptions end with these outcomes: the address is gone, or a webhook has failed for days.

    Never for what may be our own fault, since nothing brings an address back.
    """
    ended: dict[subscriptions.Reason, list[str]] = {"gone": [], "failing": []}
    for entry in entries:
        delivery, outcome = entry.attempt.delivery, entry.attempt.outcome
        if delivery.kind != "publication":
            continue
        if isinstance(outcome, GiveUp) and outcome.gone:
            ended["gone"].append(delivery.recipient)
        elif (
            isinstance(outcome, TryAgain)
            and entry.state == "failed"
            and delivery.lane == "webhook"
            and outcome.theirs
        ):
            ended["failing"].append(delivery.recipient)
    return ended


def _gone_webhooks(entries: Sequence[_Entry]) -> list[str]:
    """Cases whose contact named an endpoint that is no more."""
    return [
        entry.attempt.delivery.subject
        for entry in entries
        if entry.attempt.delivery.kind == "notice"
        and entry.attempt.delivery.lane == "webhook"
        and isinstance(entry.attempt.outcome, GiveUp)
        and entry.attempt.outcome.gone
    ]


def _emit_notices(tx: Tx, entries: Sequence[_Entry]) -> None:
    for entry in entries:
        delivery = entry.attempt.delivery
        if delivery.kind != "notice" or entry.state == "pending":
            continue
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        if entry.state == "sent":
            sent = NoticeSent(
                notice=delivery.id, lane=delivery.lane, step=delivery.step, attempts=delivery.attempts
            )
            tx.emit(sent, subject=delivery.subject)
        else:
            failed = NoticeFailed(
                notice=delivery.id,
                lane=delivery.lane,
                step=delivery.step,
                attempts=delivery.attempts,
                reason=entry.reason or "unknown",
            )
            tx.emit(failed, subject=delivery.subject)


def _pushes(entries: Sequence[_Entry]) -> set[tuple[str, int]]:
    return {
        (entry.attempt.delivery.subject, entry.attempt.delivery.version)
        for entry in entries
        if entry.attempt.delivery.version is not None and entry.state != "pending"
    }
