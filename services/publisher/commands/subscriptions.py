"""Subscriptions: asked for, confirmed by whoever owns the address, ended by one click or by the address."""

import datetime as dt
from collections.abc import Sequence

from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.domain.subscriptions import EndReason, SubscriptionRequest
from services.publisher.queries import QUERIES
from shared.clock import machine_now
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.publisher import Lane, SubscriptionConfirmed, SubscriptionEnded
from shared.decision import TimerSpec
from shared.ids import new_id
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import FiredTimer
from shared.unit_of_work.transaction import Tx

CONFIRM_WITHIN = dt.timedelta(days=7)
LAPSE = "confirmation_lapses"
SOURCE = "/services/publisher"


async def ask(tx: Tx, subscription: str, request: SubscriptionRequest, secrets: DerivedSecrets) -> None:
    """Keeps an e-mail request as pending and puts the confirmation mail on the ledger.

    After seven days without an answer nothing of it is left (timer `confirmation_lapses`).
    """
    await _insert(tx, subscription, request, secrets, active=False)
    await tx.connection.execute(
        QUERIES["insert_confirmation"], new_id(tx.now), subscription, tx.now, machine_now()
    )
    tx.schedule(subscription, TimerSpec(LAPSE, tx.now + CONFIRM_WITHIN))


async def confirm(database: Database, subscription: str) -> bool:
    """Consent by the link. Another subscription of the same address ends: the new choice replaces it.

    False if there is nothing to confirm (any more); confirming twice is as good as once.
    """
    row = await database.pool.fetchrow(QUERIES["subscription"], subscription)
    if row is None or row["state"] == "ended":
        return False
    async with database.transaction() as tx:
        older = await lock_older(tx, row["lane"], row["address_hash"], subscription)
        await end(tx, [each for each in older if each != subscription], "asked")
        confirmed = await tx.connection.fetchrow(QUERIES["confirm_subscription"], subscription, tx.now)
        if confirmed is not None:
            tx.cancel(subscription, LAPSE)
            _emit_confirmed(tx, subscription, confirmed["lane"], confirmed["topics"])
    return confirmed is not None or subscription in older


async def add_webhook(
    tx: Tx, subscription: str, request: SubscriptionRequest, secrets: DerivedSecrets, older: Sequence[str]
) -> None:
    """A webhook whose endpoint has echoed the challenge; `older` ones of the same URL (`lock_older`) end."""
    await end(tx, older, "asked")
    await _insert(tx, subscription, request, secrets, active=True)
    _emit_confirmed(tx, subscription, request.lane, request.topics)


async def end(tx: Tx, subscriptions: Sequence[str], reason: EndReason) -> None:
    """Ends those of them (locked) that are active; their addresses go. What is on the ledger is not sent."""
    for row in await tx.connection.fetch(QUERIES["end_subscriptions"], list(subscriptions), tx.now):
        tx.emit(SubscriptionEnded(lane=row["lane"], reason=reason), subject=row["id"])


async def leave(tx: Tx, subscription: str) -> int:
    """By its owner: ends it, or drops the question if it was not answered yet. Twice is as good as once.

    The sequence of the last event about it; 0 if there was none.
    """
    await end(tx, [subscription], "asked")
    await tx.connection.execute(QUERIES["drop_unconfirmed"], [subscription])
    tx.cancel(subscription, LAPSE)
    return tx.last_ordinal(subscription, SOURCE) % ORDINALS_PER_EPOCH


async def lock_older(tx: Tx, lane: Lane, address_hash: bytes, *subscriptions: str) -> list[str]:
    """Locks the address, its active subscription if there is one, and `subscriptions`; gives the active one.

    First thing in the transaction. Two who choose for one address at once come one after the other.
    """
    await tx.connection.execute(QUERIES["lock_address"], int.from_bytes(address_hash[:8], "big", signed=True))
    rows = await tx.connection.fetch(QUERIES["active_of_address"], lane, address_hash)
    older = [row["id"] for row in rows]
    await tx.lock({*subscriptions, *older})
    return older


async def lapse(tx: Tx, fired: list[FiredTimer]) -> None:
    """Timer `confirmation_lapses`: who never answered has given us nothing to keep."""
    await tx.connection.execute(QUERIES["drop_unconfirmed"], [each.aggregate for each in fired])


async def _insert(
    tx: Tx, subscription: str, request: SubscriptionRequest, secrets: DerivedSecrets, *, active: bool
) -> None:
    sealed = secrets.keyring.seal(request.address, subscription)
    await tx.connection.execute(
        QUERIES["insert_subscription"],
        subscription,
        request.lane,
        "active" if active else "pending",
        list(request.topics),
        request.language,
        secrets.address_hash(request.address),
        sealed.box,
        sealed.wrapped_key,
        tx.now,
        tx.now if active else None,
    )


def _emit_confirmed(tx: Tx, subscription: str, lane: Lane, topics: Sequence[str]) -> None:
    tx.emit(SubscriptionConfirmed(lane=lane, topics=tuple(topics)), subject=subscription)
