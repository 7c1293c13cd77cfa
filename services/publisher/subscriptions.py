"""Subscriptions: asked for, confirmed by whoever owns the address, ended by one click or by the address."""

import base64
import datetime as dt
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.publisher.keyring import Keyring
from services.publisher.queries import QUERIES
from shared.clock import machine_now
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.publisher import Lane, SubscriptionConfirmed, SubscriptionEnded
from shared.decision import TimerSpec
from shared.ids import new_id
from shared.keys import derive
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import FiredTimer
from shared.unit_of_work.transaction import Tx
from shared.webhooks import webhook_secret

CONFIRM_WITHIN = dt.timedelta(days=7)
OVERLAP = dt.timedelta(hours=24)
LAPSE = "confirmation_lapses"
SOURCE = "/services/publisher"
Purpose = Literal["confirm", "leave"]
Reason = Literal["asked", "gone", "failing"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for; `topics` empty means all. `address` is checked already."""

    lane: Lane
    address: str
    topics: tuple[str, ...]
    language: str


class Secrets:
    """What links and signatures are made of: all derived, so that nothing secret is stored."""

    def __init__(self, secret_key: str) -> None:
        self.keyring = Keyring(derive(secret_key, "publisher contacts"))
        self._address = derive(secret_key, "publisher address hashes")
        self._link = derive(secret_key, "publisher subscription links")
        self._webhook = derive(secret_key, "publisher webhook secrets")

    def address_hash(self, address: str) -> bytes:
        """By which an address is found again. Keyed: a plain hash of an address is easily guessed."""
        return hmac.digest(self._address, address.encode(), "sha256")

    def token(self, purpose: Purpose, subscription: str) -> str:
        """The authority in a mail's link: 128 bits for one purpose and one subscription."""
        digest = hmac.digest(self._link, f"{purpose}\0{subscription}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")

    def is_token(self, purpose: Purpose, subscription: str, token: str) -> bool:
        """Whether `token` is that of the purpose and the subscription, in constant time."""
        expected = self.token(purpose, subscription).encode()
        return hmac.compare_digest(expected, token.encode("utf-8", "replace"))

    def webhook_secret(self, subscription: str, generation: int = 0) -> str:
        """What a subscriber verifies our signatures with; every rotation makes the next generation."""
        return webhook_secret(self._webhook, f"{subscription} {generation}" if generation else subscription)

    def signing_secrets(
        self, subscription: str, generation: int, rotated_at: dt.datetime | None, now: dt.datetime
    ) -> tuple[str, ...]:
        """What is signed with at `now`: the newest secret, and for a day after a rotation the one before."""
        newest = self.webhook_secret(subscription, generation)
        if rotated_at is None or now >= rotated_at + OVERLAP:
            return (newest,)
        return newest, self.webhook_secret(subscription, generation - 1)

    def is_webhook_secret(self, subscription: str, generation: int, secret: str) -> bool:
        """Whether `secret` is the webhook's of that generation, in constant time."""
        expected = self.webhook_secret(subscription, generation).encode()
        return hmac.compare_digest(expected, secret.encode("utf-8", "replace"))

    def is_owners(self, subscription: str, generation: int, secret: str) -> bool:
        """Whether `secret` is what the subscriber alone was given: the webhook's, or the token to leave."""
        is_webhooks = self.is_webhook_secret(subscription, generation, secret)
        return is_webhooks or self.is_token("leave", subscription, secret)


async def ask(tx: Tx, subscription: str, wish: Wish, secrets: Secrets) -> None:
    """Keeps an e-mail wish as pending and puts the confirmation mail on the ledger.

    After seven days without an answer nothing of it is left (timer `confirmation_lapses`).
    """
    await _insert(tx, subscription, wish, secrets, active=False)
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


async def add_webhook(tx: Tx, subscription: str, wish: Wish, secrets: Secrets, older: Sequence[str]) -> None:
    """A webhook whose endpoint has echoed the challenge; `older` ones of the same URL (`lock_older`) end."""
    await end(tx, older, "asked")
    await _insert(tx, subscription, wish, secrets, active=True)
    _emit_confirmed(tx, subscription, wish.lane, wish.topics)


async def end(tx: Tx, subscriptions: Sequence[str], reason: Reason) -> None:
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


async def _insert(tx: Tx, subscription: str, wish: Wish, secrets: Secrets, *, active: bool) -> None:
    sealed = secrets.keyring.seal(wish.address, subscription)
    await tx.connection.execute(
        QUERIES["insert_subscription"],
        subscription,
        wish.lane,
        "active" if active else "pending",
        list(wish.topics),
        wish.language,
        secrets.address_hash(wish.address),
        sealed.box,
        sealed.wrapped_key,
        tx.now,
        tx.now if active else None,
    )


def _emit_confirmed(tx: Tx, subscription: str, lane: Lane, topics: Sequence[str]) -> None:
    tx.emit(SubscriptionConfirmed(lane=lane, topics=tuple(topics)), subject=subscription)
