"""What oversight staff (督办) read: the stream of entries, lists, and the page that follows it live."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from services.audit import queries
from services.audit.entries import Entry
from services.audit.http.rows import Rows
from services.audit.log_size import LogSizeNotifier
from shared.unit_of_work.database import Database
from shared.web.callers import access_end, require, require_caller
from shared.web.pages import Pages
from shared.web.pagination import Page, page_of, read_cursor
from shared.web.problems import Problem
from shared.web.session import Person
from shared.web.sse import ServerEvent, event_stream, last_event_id

_STREAM_STEP = 500
_PAGE = 50
_POLL_SECONDS = 1.0
_NO_INDEX = 2**53  # above every index; JSON's numbers are exact below it
_READ = Depends(require_caller("oversight", "operator", scope="audit:read"))
_STAFF = Depends(require("oversight", "operator"))

Subject = Annotated[str | None, Query(min_length=1, max_length=200)]


def oversight_router(database: Database, log_size: LogSizeNotifier, pages: Pages) -> APIRouter:
    """The routes for oversight; machines need the scope `audit:read`."""
    router = APIRouter(tags=["oversight"])

    @router.get("/api/audit/v1/stream", dependencies=[_READ])
    async def stream(
        request: Request, start: Annotated[int | None, Query(alias="from", ge=0, lt=_NO_INDEX)] = None
    ) -> Response:
        """Server-Sent Events over the log's entries; the event id is the log index, by which one resumes.

        `from` is the first index that is wanted; by default what comes from now on. `text` and `at` are in
        the reader's language and zone. The stream ends with the reader's session.
        """
        seen = last_event_id(request)
        if seen is not None:
            start = _index(seen) + 1
        if start is None:
            start = await queries.log_size(database.pool)
        rows = Rows(request, pages.catalogue)
        return event_stream(_follow(database, log_size, rows, start), until=access_end(request))

    @router.get("/api/audit/v1/entries", dependencies=[_READ])
    async def entries(cursor: str | None = None, subject: Subject = None) -> dict[str, Any]:
        """Entries, newest first; of one subject, in log order."""
        page = await _page(database, cursor, subject)
        return {"entries": [entry.as_json() for entry in page.items], "next": page.next}

    @router.get("/oversight", include_in_schema=False)
    async def oversight(
        request: Request, _: Annotated[Person, _STAFF], cursor: str | None = None, subject: Subject = None
    ) -> Response:
        page = await _page(database, cursor, subject)
        rows = Rows(request, pages.catalogue)
        shown = [rows.row(entry) for entry in page.items]
        live = cursor is None and subject is None
        query = {"cursor": page.next} | ({"subject": subject} if subject else {})
        return pages.render(
            request,
            "oversight.html",
            rows=shown,
            subject=subject,
            number=next((row["number"] for row in shown if row["number"]), None),
            live=f"/api/audit/v1/stream?from={shown[0]['index'] + 1 if shown else 0}" if live else None,
            next=f"/oversight?{urlencode(query)}" if page.next else None,
        )

    return router


async def _page(database: Database, cursor: str | None, subject: str | None) -> Page[Entry]:
    place = read_cursor(cursor, int)
    last = None if place is None else _index(str(place[0]))
    if subject is not None:
        found = await queries.entries_of_subject(
            database.pool, subject, 0 if last is None else last + 1, _PAGE + 1
        )
    else:
        found = await queries.newest_entries(database.pool, _NO_INDEX if last is None else last, _PAGE + 1)
    return page_of(found, _PAGE, lambda entry: (entry.index,))


async def _follow(
    database: Database, log_size: LogSizeNotifier, rows: Rows, start: int
) -> AsyncGenerator[ServerEvent, None]:
    position = start
    while True:
        grown = log_size.next()
        found = await queries.entries_from(database.pool, position, _STREAM_STEP)
        for entry in found:
            yield ServerEvent(orjson.dumps(rows.row(entry)).decode(), id=str(entry.index))
        if found:
            position = found[-1].index + 1
            continue
        # Another copy may be the writer, so waiting for our own is only the quick way. (`wait_for` of Python
        # 3.11 would swallow the cancellation of a reader who leaves just when the log grows.)
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await grown.wait()


def _index(text: str) -> int:
    """A log index. Raises Problem 400 for what cannot be one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) < _NO_INDEX):
        raise Problem(400, "bad-position", "This is not an index of the log", "Begin without it.")
    return int(text)
