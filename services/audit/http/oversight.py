"""For oversight staff (督办): the live stream of entries, lists, and the page that follows the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.audit import queries
from services.audit.entries import EntryView
from services.audit.http.context import MAY_READ, NO_INDEX, Context, Ctx, Staff, Subject
from services.audit.http.rows import Rows
from shared.web.callers import access_end
from shared.web.pagination import Page, page_of, read_cursor
from shared.web.problems import Problem
from shared.web.sse import OPEN, Events, events_for_reader, last_event_id, no_store

_READ_AT_ONCE = 500
_PAGE = 50
_POLL_SECONDS = 1.0

router = APIRouter(tags=["oversight"])


async def first_index(
    request: Request,
    audit: Ctx,
    start: Annotated[int | None, Query(alias="from", ge=0, lt=NO_INDEX)] = None,
) -> int:
    """The index at which a stream begins: behind the last event seen, else `from`, else the end of the log.

    Raises Problem 400 for an event id that is no index.
    """
    seen = last_event_id(request)
    if seen is not None:
        return read_index(seen) + 1
    return await queries.log_size(audit.database.pool) if start is None else start


async def entry_events(
    request: Request, audit: Ctx, start: Annotated[int, Depends(first_index)]
) -> AsyncIterator[Events]:
    """The events of a stream, until the reader's session ends; closed when the reader has gone."""
    rows = Rows(request, audit.pages.catalogue)
    async with events_for_reader(follow(audit, rows, start), access_end(request)) as events:
        yield events


@router.get(
    "/api/audit/v1/stream",
    response_class=EventSourceResponse,
    dependencies=[MAY_READ, Depends(no_store)],
)
async def stream(
    events: Annotated[Events, Depends(entry_events)],
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events over the log's entries; the event id is the log index, by which one resumes.

    `from` is the first index that is wanted; by default what comes from now on. `text` and `at` are in
    the reader's language and zone. The stream ends with the reader's session.
    """
    yield OPEN
    async for event in events:
        yield event


@router.get("/api/audit/v1/entries", dependencies=[MAY_READ])
async def entries(audit: Ctx, cursor: str | None = None, subject: Subject = None) -> dict[str, Any]:
    """Entries, newest first; of one subject, in log order."""
    page = await _page(audit, cursor, subject)
    return {"entries": [entry.as_json() for entry in page.items], "next": page.next}


@router.get("/oversight", include_in_schema=False)
async def oversight(
    request: Request, _: Staff, audit: Ctx, cursor: str | None = None, subject: Subject = None
) -> Response:
    """The newest entries, followed live; or those of one subject."""
    page = await _page(audit, cursor, subject)
    rows = Rows(request, audit.pages.catalogue)
    shown = [rows.row(entry) for entry in page.items]
    live = cursor is None and subject is None
    query = {"cursor": page.next} | ({"subject": subject} if subject else {})
    return audit.pages.render(
        request,
        "oversight.html",
        rows=shown,
        subject=subject,
        number=next((row["number"] for row in shown if row["number"]), None),
        live=f"/api/audit/v1/stream?from={shown[0]['index'] + 1 if shown else 0}" if live else None,
        next=f"/oversight?{urlencode(query)}" if page.next else None,
    )


async def follow(audit: Context, rows: Rows, start: int) -> Events:
    """Every entry from index `start` on, and each new one as it is committed; without end."""
    position = start
    while True:
        grown = audit.log_size.next()
        found = await queries.entries_from(audit.database.pool, position, _READ_AT_ONCE)
        for entry in found:
            yield ServerSentEvent(raw_data=orjson.dumps(rows.row(entry)).decode(), id=str(entry.index))
        if found:
            position = found[-1].index + 1
            continue
        # Another process may be the writer, so its own notification is only the quick way. (`wait_for` of
        # Python 3.11 would swallow the cancellation of a reader who leaves just when the log grows.)
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await grown.wait()


def read_index(text: str) -> int:
    """A log index. Raises Problem 400 for a text that cannot be one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) < NO_INDEX):
        raise Problem(400, "bad-position", "This is not an index of the log", "Begin without it.")
    return int(text)


async def _page(audit: Context, cursor: str | None, subject: str | None) -> Page[EntryView]:
    read = read_cursor(cursor, int)
    last = None if read is None else read_index(str(read[0]))
    pool = audit.database.pool
    if subject is not None:
        start = 0 if last is None else last + 1
        found = await queries.entries_of_subject(pool, subject, start, _PAGE + 1)
    else:
        found = await queries.newest_entries(pool, NO_INDEX if last is None else last, _PAGE + 1)
    return page_of(found, _PAGE, lambda entry: (entry.index,))
