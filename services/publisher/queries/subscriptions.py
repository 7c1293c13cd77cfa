"""Subscriptions: who receives which publications, and where."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.publisher.domain.subscriptions import SubscriptionRequest
from services.publisher.keyring import Sealed
from services.publisher.queries.statements import SQL, Queryable
from shared.contracts.publisher import Lane
from shared.unit_of_work.transaction import Tx

SubscriptionState = Literal["pending", "active", "ended"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription without its address. `address_hash` is None once it has ended; `topics` empty: all."""

    id: str
    lane: Lane
    state: SubscriptionState
    topics: Sequence[str]
    language: str
    address_hash: bytes | None
    asked_at: dt.datetime
    confirmed_at: dt.datetime | None
    ended_at: dt.datetime | None
    generation: int


class Confirmed(NamedTuple):
    """A subscription that has just become active."""

    lane: Lane
    topics: tuple[str, ...]


class SubscriptionLane(NamedTuple):
    """A subscription and the lane of its address."""

    id: str
    lane: Lane


async def insert_subscription(
    tx: Tx,
    identifier: str,
    request: SubscriptionRequest,
    address_hash: bytes,
    address: Sealed,
    *,
    state: Literal["pending", "active"],
) -> None:
    """A new subscription; an active one is confirmed at once."""
    await tx.connection.execute(
        SQL["insert_subscription"],
        identifier,
        request.lane,
        state,
        list(request.topics),
        request.language,
        address_hash,
        address.box,
        address.wrapped_key,
        tx.now,
        tx.now if state == "active" else None,
    )


async def subscription(db: Queryable, identifier: str) -> Subscription | None:
    """One subscription."""
    row = await db.fetchrow(SQL["subscription"], identifier)
    return Subscription(**dict(row)) if row else None


async def rotate_secret(tx: Tx, identifier: str, at: dt.datetime) -> int | None:
    """The generation of the next secret; None unless it is an active webhook. `at` is machine time."""
    generation: int | None = await tx.connection.fetchval(SQL["rotate_secret"], identifier, at)
    return generation


async def lock_address(tx: Tx, address_hash: bytes) -> None:
    """Serialises transactions that activate a subscription of one address."""
    key = int.from_bytes(address_hash[:8], "big", signed=True)
    await tx.connection.execute(SQL["lock_address"], key)


async def active_of_address(tx: Tx, lane: Lane, address_hash: bytes) -> list[str]:
    """The active subscription of the address, if there is one."""
    return [row["id"] for row in await tx.connection.fetch(SQL["active_of_address"], lane, address_hash)]


async def confirm_subscription(tx: Tx, identifier: str) -> Confirmed | None:
    """Makes a pending subscription active; None if it was not pending."""
    row = await tx.connection.fetchrow(SQL["confirm_subscription"], identifier, tx.now)
    return Confirmed(row["lane"], tuple(row["topics"])) if row else None


async def end_subscriptions(tx: Tx, identifiers: Sequence[str]) -> list[SubscriptionLane]:
    """Ends the active ones among them and deletes their addresses; gives those that it ended."""
    rows = await tx.connection.fetch(SQL["end_subscriptions"], list(identifiers), tx.now)
    return [SubscriptionLane(row["id"], row["lane"]) for row in rows]


async def drop_unconfirmed(tx: Tx, identifiers: Sequence[str]) -> None:
    """Deletes the pending ones among them."""
    await tx.connection.execute(SQL["drop_unconfirmed"], list(identifiers))


async def subscribers_page(tx: Tx, topics: Sequence[str], after: str, limit: int) -> list[SubscriptionLane]:
    """Up to `limit` active subscriptions to any of the topics, by id, after the id `after`."""
    rows = await tx.connection.fetch(SQL["subscribers_page"], list(topics), after, limit)
    return [SubscriptionLane(row["id"], row["lane"]) for row in rows]
