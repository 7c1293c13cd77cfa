"""The delivery ledger: who has to be told what, and what became of every attempt.

An attempt is committed as `sending` before the network is touched, and its result after. What is still
`sending` when its lease ends has an unknown result and is claimed again, under the same id.
"""

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from services.publisher.commands import subscriptions
from services.publisher.domain.delivery_results import Delivered, DeliveryResult, GiveUp, TryAgain, wait_after
from services.publisher.domain.subscriptions import EndReason
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
class ClaimedDelivery:
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

    delivery: ClaimedDelivery
    result: DeliveryResult


@dataclass(frozen=True, slots=True)
class _LedgerUpdate:
    attempt: Attempt
    state: str
    due_at: dt.datetime
    reason: str | None


class Ledger:
    """The ledger of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, lane: Lane, *, bulk: bool, limit: int) -> list[ClaimedDelivery]:
        """Up to `limit` rows that are due, committed as `sending` before this returns."""
        now = machine_now()
        rows = await self._database.pool.fetch(
            QUERIES["claim_deliveries"], lane, bulk, now, now + LEASE, limit
        )
        return [ClaimedDelivery(**dict(row)) for row in rows]

    async def release(self, deliveries: Sequence[ClaimedDelivery]) -> None:
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
        updates = [_update(attempt) for attempt in attempts]
        ended = _ended(updates)
        locked = {update.attempt.delivery.subject for update in updates}
        locked.update(each for group in ended.values() for each in group)
        async with self._database.transaction(locked) as tx:
            written = await self._write(tx, updates)
            _emit_notices(tx, written)
            await subscriptions.end(tx, ended["gone"], "gone")
            await subscriptions.end(tx, ended["failing"], "failing")
            await tx.connection.execute(QUERIES["forget_webhooks"], _gone_webhooks(updates))
            for publication, version in sorted(_pushes(written)):
                await batches.close_if_done(tx, publication, version)
        for update in written:
            delivery = update.attempt.delivery
            DELIVERIES.labels(delivery.kind, delivery.lane, update.state).inc()

    async def _write(self, tx: Tx, updates: Sequence[_LedgerUpdate]) -> list[_LedgerUpdate]:
        rows = await tx.connection.fetch(
            QUERIES["record_outcomes"],
            [update.attempt.delivery.id for update in updates],
            [update.attempt.delivery.attempts for update in updates],
            [update.state for update in updates],
            [update.due_at for update in updates],
            [update.reason for update in updates],
            [tx.now if update.state != "pending" else None for update in updates],
        )
        ours = {row["id"] for row in rows}
        return [update for update in updates if update.attempt.delivery.id in ours]


def _update(attempt: Attempt) -> _LedgerUpdate:
    now = machine_now()
    match attempt.result:
        case Delivered():
            return _LedgerUpdate(attempt, "sent", now, None)
        case GiveUp(reason):
            return _LedgerUpdate(attempt, "failed", now, reason)
        case TryAgain(reason, retry_after, _):
            fraction = secrets.randbelow(1001) / 1000
            wait = wait_after(attempt.delivery.attempts, fraction, retry_after)
            if wait is None:
                return _LedgerUpdate(attempt, "failed", now, reason)
            return _LedgerUpdate(attempt, "pending", now + wait, reason)


def _ended(updates: Sequence[_LedgerUpdate]) -> dict[EndReason, list[str]]:
    """Which subscriptions end with these outcomes: the address is gone, or a webhook has failed for days.

    Never for what may be our own fault, since nothing brings an address back.
    """
    ended: dict[EndReason, list[str]] = {"gone": [], "failing": []}
    for update in updates:
        delivery, result = update.attempt.delivery, update.attempt.result
        if delivery.kind != "publication":
            continue
        if isinstance(result, GiveUp) and result.gone:
            ended["gone"].append(delivery.recipient)
        elif (
            isinstance(result, TryAgain)
            and update.state == "failed"
            and delivery.lane == "webhook"
            and result.reached
        ):
            ended["failing"].append(delivery.recipient)
    return ended


def _gone_webhooks(updates: Sequence[_LedgerUpdate]) -> list[str]:
    """Cases whose contact named an endpoint that is no more."""
    return [
        update.attempt.delivery.subject
        for update in updates
        if update.attempt.delivery.kind == "notice"
        and update.attempt.delivery.lane == "webhook"
        and isinstance(update.attempt.result, GiveUp)
        and update.attempt.result.gone
    ]


def _emit_notices(tx: Tx, updates: Sequence[_LedgerUpdate]) -> None:
    for update in updates:
        delivery = update.attempt.delivery
        if delivery.kind != "notice" or update.state == "pending":
            continue
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        if update.state == "sent":
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
                reason=update.reason or "unknown",
            )
            tx.emit(failed, subject=delivery.subject)


def _pushes(updates: Sequence[_LedgerUpdate]) -> set[tuple[str, int]]:
    return {
        (update.attempt.delivery.subject, update.attempt.delivery.version)
        for update in updates
        if update.attempt.delivery.version is not None and update.state != "pending"
    }
