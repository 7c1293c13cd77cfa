"""The delivery ledger: what is due to whom, and the result of every attempt.

An attempt is committed as `sending` before the network is used, and its result afterwards. A row that is
still `sending` when its lease ends has an unknown result: it is claimed again and sent under the same id.
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
from services.publisher.queries import contacts, deliveries
from services.publisher.queries.deliveries import AttemptRow, ClaimedDelivery
from shared.clock import machine_now
from shared.contracts.publisher import Lane, NoticeFailed, NoticeSent
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

# Longer than any attempt may take, so that a lease that ends means a crash.
LEASE = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt and its result."""

    delivery: ClaimedDelivery
    result: DeliveryResult


@dataclass(frozen=True, slots=True)
class _Update:
    attempt: Attempt
    row: AttemptRow


class Ledger:
    """The ledger in the service's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, lane: Lane, *, bulk: bool, limit: int) -> list[ClaimedDelivery]:
        """Up to `limit` due rows, committed as `sending` before this returns."""
        now = machine_now()
        return await deliveries.claim_deliveries(
            self._database.pool, lane, bulk=bulk, now=now, lease_end=now + LEASE, limit=limit
        )

    async def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Gives back rows that were claimed and certainly not attempted; it does not count as an attempt."""
        await deliveries.release_deliveries(self._database.pool, claimed, machine_now())

    async def recheck(self, delivery: ClaimedDelivery) -> GiveUp | None:
        """Why a claimed delivery must not be sent after all: its batch may be minutes old."""
        reason = await deliveries.recheck(self._database.pool, delivery.id)
        return GiveUp(reason) if reason else None

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Writes results and their events in one transaction, except for rows claimed by another worker.

        Emits push.notice_sent, push.notice_failed, push.batch_closed, subscription.ended.
        """
        updates = [_update(attempt) for attempt in attempts]
        ended = _ended(updates)
        locked = {update.attempt.delivery.subject for update in updates}
        locked.update(each for group in ended.values() for each in group)
        async with self._database.transaction(locked) as tx:
            ours = await deliveries.record_results(tx, [update.row for update in updates])
            written = [update for update in updates if update.row.id in ours]
            _emit_notices(tx, written)
            for reason, identifiers in ended.items():
                await subscriptions.end(tx, identifiers, reason)
            await contacts.forget_webhooks(tx, _gone_webhooks(updates))
            for publication, version in sorted(_pushes(written)):
                await batches.close_if_done(tx, publication, version)
        for update in written:
            delivery = update.attempt.delivery
            DELIVERIES.labels(delivery.kind, delivery.lane, update.row.state).inc()


def _update(attempt: Attempt) -> _Update:
    now, delivery = machine_now(), attempt.delivery
    row = AttemptRow(delivery.id, delivery.attempts, "sent", now, None)
    match attempt.result:
        case Delivered():
            pass
        case GiveUp(reason):
            row = row._replace(state="failed", error=reason)
        case TryAgain(reason, retry_after, _):
            fraction = secrets.randbelow(1001) / 1000
            wait = wait_after(delivery.attempts, fraction, retry_after)
            if wait is None:
                row = row._replace(state="failed", error=reason)
            else:
                row = row._replace(state="pending", due_at=now + wait, error=reason)
    return _Update(attempt, row)


def _ended(updates: Sequence[_Update]) -> dict[EndReason, list[str]]:
    """Subscriptions that end: the address is gone, or a webhook has failed at every attempt.

    Never for a fault that may be ours, since an address that was deleted cannot be restored.
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
            and update.row.state == "failed"
            and delivery.lane == "webhook"
            and result.reached
        ):
            ended["failing"].append(delivery.recipient)
    return ended


def _gone_webhooks(updates: Sequence[_Update]) -> list[str]:
    """Cases whose contact named an endpoint that is gone."""
    return [
        update.attempt.delivery.subject
        for update in updates
        if update.attempt.delivery.kind == "notice"
        and update.attempt.delivery.lane == "webhook"
        and isinstance(update.attempt.result, GiveUp)
        and update.attempt.result.gone
    ]


def _emit_notices(tx: Tx, updates: Sequence[_Update]) -> None:
    for update in updates:
        delivery = update.attempt.delivery
        if delivery.kind != "notice" or update.row.state == "pending":
            continue
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        if update.row.state == "sent":
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
                reason=update.row.error or "unknown",
            )
            tx.emit(failed, subject=delivery.subject)


def _pushes(updates: Sequence[_Update]) -> set[tuple[str, int]]:
    return {
        (update.attempt.delivery.subject, update.attempt.delivery.version)
        for update in updates
        if update.attempt.delivery.version is not None and update.row.state != "pending"
    }
