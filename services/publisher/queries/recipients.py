"""What claimed deliveries are rendered from: sealed addresses, and the texts of pushed versions."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import asyncpg

from services.publisher.keyring import Sealed
from services.publisher.queries.statements import SQL, Queryable
from services.publisher.queries.subscriptions import SubscriptionState
from shared.contracts.publisher import Lane


@dataclass(frozen=True, slots=True)
class NoticeRecipient:
    """The contact of a case; a contact point that it does not have is None."""

    inquiry: str
    number: str
    language: str | None
    email: Sealed | None
    webhook: Sealed | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription with its sealed address."""

    id: str
    lane: Lane
    state: SubscriptionState
    language: str
    address: Sealed
    generation: int
    rotated_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class PushedVersion:
    """A public version as it is sent to subscribers."""

    id: str
    version: int
    published_at: dt.datetime
    public_changed_at: dt.datetime
    title: str
    summary: str
    topics: Sequence[str]
    document_number: str | None
    effective_from: dt.datetime | None


async def notice_recipients(db: Queryable, inquiries: Collection[str]) -> dict[str, NoticeRecipient]:
    """By case; no entry for a case whose contact is not stated (yet, or any longer)."""
    return {
        row["inquiry"]: NoticeRecipient(
            row["inquiry"],
            row["number"],
            row["language"],
            _sealed(row["address"], row["wrapped_key"]),
            _sealed(row["webhook"], row["webhook_key"]),
        )
        for row in await _rows(db, "notice_recipients", inquiries)
    }


async def subscribers(db: Queryable, identifiers: Collection[str]) -> dict[str, Subscriber]:
    """By id; no entry for a subscription that has ended."""
    return {
        row["id"]: Subscriber(
            row["id"],
            row["lane"],
            row["state"],
            row["language"],
            Sealed(row["address"], row["wrapped_key"]),
            row["generation"],
            row["rotated_at"],
        )
        for row in await _rows(db, "subscribers", identifiers)
    }


async def versions_to_push(db: Queryable, publications: Collection[str]) -> dict[str, PushedVersion]:
    """The public versions of publications by id; no entry for a withdrawn one."""
    return {
        row["id"]: PushedVersion(**dict(row)) for row in await _rows(db, "versions_to_push", publications)
    }


async def _rows(db: Queryable, statement: str, ids: Collection[str]) -> list[asyncpg.Record]:
    return await db.fetch(SQL[statement], sorted(ids)) if ids else []


def _sealed(box: bytes | None, wrapped_key: bytes | None) -> Sealed | None:
    return Sealed(box, wrapped_key) if box is not None and wrapped_key is not None else None
