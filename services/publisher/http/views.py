"""Rows of publications and subscriptions as readers get them: the service's reads, with their cursors."""

import datetime as dt
from typing import Any

import asyncpg

from services.publisher.http.context import no_publication
from services.publisher.queries import QUERIES
from shared.ids import is_id
from shared.web.pagination import Page, page_of, read_cursor

Row = asyncpg.Record
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


async def public_page(
    pool: asyncpg.Pool, *, topic: str | None, cursor: str | None, limit: int
) -> Page[asyncpg.Record]:
    """What is in force of publication, newest first. Raises Problem 400 for a bad cursor."""
    moment, identifier = _place(cursor)
    rows = await pool.fetch(QUERIES["public_publications"], topic, moment, identifier, limit + 1)
    return page_of(rows, limit, lambda row: (_micros(row["published_at"]), row["id"]))


async def desk_page(
    pool: asyncpg.Pool, *, state: str | None, cursor: str | None, limit: int
) -> Page[asyncpg.Record]:
    """The newest versions by last change. Raises Problem 400 for a bad cursor."""
    moment, identifier = _place(cursor)
    rows = await pool.fetch(QUERIES["desk_publications"], state, moment, identifier, limit + 1)
    return page_of(rows, limit, lambda row: (_micros(row["changed_at"]), row["id"]))


async def public_one(pool: asyncpg.Pool, identifier: str) -> asyncpg.Record:
    """One that is, or was, public. Raises Problem 404."""
    row = await pool.fetchrow(QUERIES["public_publication"], identifier) if is_id(identifier) else None
    if row is None:
        raise no_publication()
    return row


async def desk_one(pool: asyncpg.Pool, identifier: str) -> asyncpg.Record:
    """The newest version, public or not. Raises Problem 404."""
    row = await pool.fetchrow(QUERIES["desk_publication"], identifier) if is_id(identifier) else None
    if row is None:
        raise no_publication()
    return row


def public_json(row: Row, public_url: str) -> dict[str, Any]:
    """A public publication as the API tells it."""
    shown = {
        name: row[name]
        for name in ("id", "version", "title", "summary", "body", "document_number", "withdrawal_reason")
    }
    return shown | {
        "state": "withdrawn" if row["state"] == "withdrawn" else "published",
        "topics": list(row["topics"]),
        "effective_from": _moment(row["effective_from"]),
        "published_at": _moment(row["published_at"]),
        "updated_at": _moment(row["updated_at"]),
        "url": f"{public_url}/policies/{row['id']}",
    }


def desk_json(row: Row) -> dict[str, Any]:
    """The newest version as staff get it."""
    moments = {"effective_from", "drafted_at", "approved_at", "changed_at", "published_at"}
    return {
        name: _moment(value) if name in moments else list(value) if name == "topics" else value
        for name, value in dict(row).items()
    }


def subscription_json(row: Row) -> dict[str, Any]:
    """A subscription without its address."""
    shown = {name: row[name] for name in ("id", "lane", "state", "language")}
    moments = {name: _moment(row[name]) for name in ("asked_at", "confirmed_at", "ended_at")}
    return shown | {"topics": list(row["topics"])} | moments


def _place(cursor: str | None) -> tuple[dt.datetime | None, str | None]:
    parts = read_cursor(cursor, int, str)
    if parts is None:
        return None, None
    try:
        return _EPOCH + parts[0] * _MICROSECOND, parts[1]
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC), parts[1]


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment else None
