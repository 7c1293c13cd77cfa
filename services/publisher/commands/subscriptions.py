"""What subscribers do: ask, confirm by the link, rotate the secret, leave; each in one transaction."""

import datetime as dt
from collections.abc import Callable, Sequence

from services.publisher.commands.keyed import once
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.domain.subscriptions import EndReason, SubscriptionRequest
from services.publisher.queries import deliveries, subscriptions
from shared.clock import machine_now
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.publisher import Lane, SubscriptionConfirmed, SubscriptionEnded
from shared.decision import TimerSpec
from shared.errors import CivicloomError, Conflict
from shared.ids import is_id, new_id
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.timers import FiredTimer
from shared.unit_of_work.transaction import Tx

CONFIRM_WITHIN = dt.timedelta(days=7)
LAPSE = "confirmation_lapses"
SOURCE = "/services/publisher"
_LATE_GENERATIONS = 10
"""A client that repeats a rotation after so many others still gets its answer."""


class NoSuchSubscription(CivicloomError):
    """No subscription has this id and secret."""


class SubscriptionHasEnded(Conflict):
    """The subscription ended before."""


class _NewKey(Exception):
    """Rolls back the claim of a key that nobody has used."""


async def subscribe_email(
    database: Database,
    request: Request,
    asked: SubscriptionRequest,
    secrets: DerivedSecrets,
    *,
    admit: Callable[[], None],
) -> Answer:
    """Stores the request as pending and queues the confirmation mail; 202.

    The answer has no id: the caller has not shown to own the address. `admit` runs for a new key only and
    raises if the caller asks too often. Raises KeyReused, Conflict.
    """
    identifier = new_id(database.clock.now())
    async with database.transaction(new=[identifier]) as tx:

        async def act() -> Answer:
            admit()
            await ask(tx, identifier, asked, secrets)
            return Answer(202, {"state": "confirmation_asked", "lane": "email"})

        return await once(tx, request, act)


async def ask(tx: Tx, subscription: str, asked: SubscriptionRequest, secrets: DerivedSecrets) -> None:
    """Stores an e-mail request as pending, with a confirmation mail in the ledger.

    Deleted after seven days without confirmation (timer `confirmation_lapses`).
    """
    await _insert(tx, subscription, asked, secrets, active=False)
    await deliveries.insert_confirmation(tx, new_id(tx.now), subscription, machine_now())
    tx.schedule(subscription, TimerSpec(LAPSE, tx.now + CONFIRM_WITHIN))


async def confirm(database: Database, subscription: str) -> bool:
    """Consent by the link. Another active subscription of the same address ends: the new one replaces it.

    False if the subscription has ended or lapsed. Confirming twice has no further effect.
    """
    found = await subscriptions.subscription(database.pool, subscription)
    if found is None or found.address_hash is None:
        return False
    async with database.transaction() as tx:
        older = await _lock_older(tx, found.lane, found.address_hash, subscription)
        await end(tx, [each for each in older if each != subscription], "asked")
        confirmed = await subscriptions.confirm_subscription(tx, subscription)
        if confirmed is not None:
            tx.cancel(subscription, LAPSE)
            _emit_confirmed(tx, subscription, confirmed.lane, confirmed.topics)
    return confirmed is not None or subscription in older


async def earlier_answer(database: Database, request: Request) -> Answer | None:
    """The answer under the key, if there is one; claims nothing. Raises KeyReused, Conflict.

    For work between two transactions: an endpoint must not be waited for inside one.
    """
    try:
        async with database.transaction() as tx:
            answer = await request.earlier_answer(tx)
            if answer is None:
                raise _NewKey  # noqa: TRY301  (the way to roll the transaction back)
    except _NewKey:
        return None
    return answer


async def add_webhook(
    database: Database,
    request: Request,
    identifier: str,
    asked: SubscriptionRequest,
    secrets: DerivedSecrets,
) -> Answer:
    """Adds a webhook whose endpoint has echoed the challenge; 201. An older one for the URL ends.

    Raises KeyReused, Conflict. Emits subscription.confirmed, and subscription.ended for the older one.
    """
    async with database.transaction(new=[identifier]) as tx:
        older = await _lock_older(tx, asked.lane, secrets.address_hash(asked.address))

        async def act() -> Answer:
            await end(tx, older, "asked")
            await _insert(tx, identifier, asked, secrets, active=True)
            _emit_confirmed(tx, identifier, asked.lane, asked.topics)
            return Answer(201, {"id": identifier, "state": "active", "lane": "webhook"})

        return await once(tx, request, act)


async def rotate(
    database: Database, request: Request, subscription: str, secret: str, secrets: DerivedSecrets
) -> Answer:
    """Makes the webhook's next secret; the answer holds its generation, never the secret.

    Raises NoSuchSubscription for an unknown id or a wrong secret, SubscriptionHasEnded, KeyReused, Conflict.
    """
    if not is_id(subscription):
        raise NoSuchSubscription(subscription)
    # A guess gets no transaction, which would lock the subscription.
    known = await subscriptions.subscription(database.pool, subscription)
    newest = known.generation if known else 0
    late = range(max(0, newest - _LATE_GENERATIONS), newest + 1)
    if not any(secrets.is_webhook_secret(subscription, each, secret) for each in late):
        raise NoSuchSubscription(subscription)
    async with database.transaction([subscription]) as tx:
        answer = await request.earlier_answer(tx)
        if answer is None:
            found = await subscriptions.subscription(tx.connection, subscription)
            accepted = {found.generation if found else 0}
        else:
            # A client that missed the answer has only the previous secret.
            generation = answer.body["generation"]
            accepted = {generation - 1, generation}
        if not any(secrets.is_webhook_secret(subscription, each, secret) for each in accepted):
            raise NoSuchSubscription(subscription)
        if answer is None:
            next_generation = await subscriptions.rotate_secret(tx, subscription, machine_now())
            if next_generation is None:
                raise SubscriptionHasEnded(subscription)
            answer = Answer(200, {"generation": next_generation})
            await request.remember(tx, answer)
    return answer


async def leave_by_api(database: Database, request: Request, subscription: str) -> Answer:
    """Ends the subscription for its owner; 200, also if it has ended before. Raises KeyReused, Conflict."""
    async with database.transaction([subscription]) as tx:

        async def act() -> Answer:
            sequence = await _leave(tx, subscription)
            return Answer(200, {"id": subscription, "state": "ended", "sequence": sequence})

        return await once(tx, request, act)


async def leave_by_link(database: Database, subscription: str) -> None:
    """Ends the subscription, as the link in a mail does; no effect if it has ended before."""
    async with database.transaction([subscription]) as tx:
        await _leave(tx, subscription)


async def owned(
    database: Database, subscription: str, secret: str, secrets: DerivedSecrets
) -> subscriptions.Subscription | None:
    """The subscription, if `secret` is its owner's: the webhook's secret or the token of a mail's link.

    None for one that has lapsed: its links still hold. Raises NoSuchSubscription for a wrong secret, whether
    or not the id exists.
    """
    found = await subscriptions.subscription(database.pool, subscription) if is_id(subscription) else None
    # 0 for one that does not exist: its first secret opens nothing.
    generation = found.generation if found else 0
    if not is_id(subscription) or not secrets.is_owners(subscription, generation, secret):
        raise NoSuchSubscription(subscription)
    return found


async def end(tx: Tx, identifiers: Sequence[str], reason: EndReason) -> None:
    """Ends the active ones among them and deletes their addresses; what is in the ledger is not sent.

    They must be locked. Emits subscription.ended.
    """
    for ended in await subscriptions.end_subscriptions(tx, identifiers):
        tx.emit(SubscriptionEnded(lane=ended.lane, reason=reason), subject=ended.id)


async def lapse(tx: Tx, fired: list[FiredTimer]) -> None:
    """Timer `confirmation_lapses`: deletes requests that were never confirmed."""
    await subscriptions.drop_unconfirmed(tx, [each.aggregate for each in fired])


async def _leave(tx: Tx, subscription: str) -> int:
    """Ends it, or drops the unanswered request. The sequence of its last event; 0 if it has none."""
    await end(tx, [subscription], "asked")
    await subscriptions.drop_unconfirmed(tx, [subscription])
    tx.cancel(subscription, LAPSE)
    return tx.last_ordinal(subscription, SOURCE) % ORDINALS_PER_EPOCH


async def _lock_older(tx: Tx, lane: Lane, address_hash: bytes, *identifiers: str) -> list[str]:
    """Locks the address, its active subscription if there is one, and `identifiers`; gives the active one.

    First in the transaction. Two requests for one address at once run one after the other.
    """
    await subscriptions.lock_address(tx, address_hash)
    older = await subscriptions.active_of_address(tx, lane, address_hash)
    await tx.lock({*identifiers, *older})
    return older


async def _insert(
    tx: Tx, subscription: str, asked: SubscriptionRequest, secrets: DerivedSecrets, *, active: bool
) -> None:
    await subscriptions.insert_subscription(
        tx,
        subscription,
        asked,
        secrets.address_hash(asked.address),
        secrets.keyring.seal(asked.address, subscription),
        state="active" if active else "pending",
    )


def _emit_confirmed(tx: Tx, subscription: str, lane: Lane, topics: Sequence[str]) -> None:
    tx.emit(SubscriptionConfirmed(lane=lane, topics=tuple(topics)), subject=subscription)
