"""Publications and subscriptions as readers get them: pages by cursor, and JSON."""

import dataclasses
import datetime as dt
from typing import Any

from services.publisher.http.answers import no_publication
from services.publisher.queries import publications
from services.publisher.queries.publications import (
    DeskItem,
    DeskPublication,
    ListCursor,
    PublicVersion,
)
from services.publisher.queries.statements import Queryable
from services.publisher.queries.subscriptions import Subscription
from shared.ids import is_id
from shared.web.pagination import Page, page_of, read_cursor

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


async def public_page(
    db: Queryable, *, topic: str | None, cursor: str | None, limit: int
) -> Page[PublicVersion]:
    """Publications in force, newest first. Raises Problem 400 for a bad cursor."""
    rows = await publications.public_page(db, topic, _after(cursor), limit + 1)
    return page_of(rows, limit, lambda row: (_micros(row.published_at), row.id))


async def desk_page(db: Queryable, *, state: str | None, cursor: str | None, limit: int) -> Page[DeskItem]:
    """The newest versions by last change. Raises Problem 400 for a bad cursor."""
    rows = await publications.desk_page(db, state, _after(cursor), limit + 1)
    return page_of(rows, limit, lambda row: (_micros(row.changed_at), row.id))


async def public_one(db: Queryable, identifier: str) -> PublicVersion:
    """A publication that is or was public. Raises Problem 404."""
    row = await publications.public_version(db, identifier) if is_id(identifier) else None
    if row is None:
        raise no_publication()
    return row


async def desk_one(db: Queryable, identifier: str) -> DeskPublication:
    """The newest version, public or not. Raises Problem 404."""
    row = await publications.desk_publication(db, identifier) if is_id(identifier) else None
    if row is None:
        raise no_publication()
    return row


def public_json(row: PublicVersion, public_url: str) -> dict[str, Any]:
    """A public publication in the API."""
    return {
        "id": row.id,
        "version": row.version,
        "title": row.title,
        "summary": row.summary,
        "body": row.body,
        "document_number": row.document_number,
        "withdrawal_reason": row.withdrawal_reason,
        "state": "withdrawn" if row.state == "withdrawn" else "published",
        "topics": list(row.topics),
        "effective_from": _moment(row.effective_from),
        "published_at": _moment(row.published_at),
        "updated_at": _moment(row.updated_at),
        "url": f"{public_url}/policies/{row.id}",
    }


def desk_json(row: DeskItem | DeskPublication) -> dict[str, Any]:
    """The newest version for staff."""
    return {
        name: _moment(value) if isinstance(value, dt.datetime) else value
        for name, value in dataclasses.asdict(row).items()
    }


def subscription_json(row: Subscription) -> dict[str, Any]:
    """A subscription without its address."""
    return {
        "id": row.id,
        "lane": row.lane,
        "state": row.state,
        "language": row.language,
        "topics": list(row.topics),
        "asked_at": _moment(row.asked_at),
        "confirmed_at": _moment(row.confirmed_at),
        "ended_at": _moment(row.ended_at),
    }


def _after(cursor: str | None) -> ListCursor | None:
    parts = read_cursor(cursor, int, str)
    if parts is None:
        return None
    try:
        return _EPOCH + parts[0] * _MICROSECOND, parts[1]
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC), parts[1]


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment else None
