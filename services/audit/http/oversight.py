"""What oversight staff (督办) read: the stream of entries, lists, and the page that follows it live."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from services.audit.entries import Entry, newest_before, of_subject, read_from
from services.audit.queries import QUERIES
from services.audit.writer import Writer
from shared.database import Database
from shared.web.callers import require, require_caller
from shared.web.pages import Pages
from shared.web.pagination import page_of, read_cursor
from shared.web.problems import Problem
from shared.web.session import Person
from shared.web.sse import ServerEvent, event_stream, last_event_id

_STREAM_STEP = 500
_PAGE = 50
_POLL_SECONDS = 0.5
_NEWEST = 2**62
_READ = Depends(require_caller("oversight", "operator", scope="audit:read"))


def oversight_router(database: Database, writer: Writer, pages: Pages) -> APIRouter:
    """The routes for oversight; machines need the scope `audit:read`."""
    router = APIRouter(tags=["oversight"])

    @router.get("/api/audit/v1/stream", dependencies=[_READ])
    async def stream(
        request: Request, start: Annotated[int | None, Query(alias="from", ge=0)] = None
    ) -> Response:
        """Server-Sent Events over the log's entries; the event id is the log index, by which one resumes."""
        seen = last_event_id(request)
        if seen is not None:
            if not seen.isascii() or not seen.isdecimal():
                raise Problem(400, "bad-position", "Last-Event-ID must be a log index")
            start = int(seen) + 1
        if start is None:
            start = await database.pool.fetchval(QUERIES["log_size"])
        return event_stream(_follow(database, writer, start))

    @router.get("/api/audit/v1/entries", dependencies=[_READ])
    async def entries(
        cursor: str | None = None,
        subject: Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$")] = None,
    ) -> dict[str, Any]:
        """Entries, newest first; of one subject, in log order."""
        place = read_cursor(cursor, int)
        if subject is not None:
            found = await of_subject(database, subject, place[0] + 1 if place else 0, _PAGE + 1)
        else:
            found = await newest_before(database, place[0] if place else _NEWEST, _PAGE + 1)
        page = page_of(found, _PAGE, lambda entry: (entry.index,))
        return {"entries": [entry.as_json() for entry in page.items], "next": page.next}

    @router.get("/oversight", include_in_schema=False)
    async def oversight(
        request: Request,
        _: Annotated[Person, Depends(require("oversight", "operator"))],
        cursor: str | None = None,
    ) -> Response:
        place = read_cursor(cursor, int)
        found = await newest_before(database, place[0] if place else _NEWEST, _PAGE + 1)
        page = page_of(found, _PAGE, lambda entry: (entry.index,))
        following = found[0].index + 1 if found else 0
        return pages.render(
            request,
            "oversight.html",
            entries=page.items,
            next=page.next,
            stream=None if cursor else f"/api/audit/v1/stream?from={following}",
            size=await database.pool.fetchval(QUERIES["log_size"]),
        )

    return router


async def _follow(database: Database, writer: Writer, start: int) -> AsyncGenerator[ServerEvent, None]:
    position = start
    while True:
        found: list[Entry] = await read_from(database, position, _STREAM_STEP)
        for entry in found:
            yield ServerEvent(orjson.dumps(entry.as_json()).decode(), id=str(entry.index))
        if found:
            position = found[-1].index + 1
            continue
        # Another copy may be the writer, so waiting for our own is only the quick way.
        try:
            await asyncio.wait_for(writer.grown.wait(), _POLL_SECONDS)
        except TimeoutError:
            continue
        writer.grown.clear()
