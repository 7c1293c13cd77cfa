"""A trace of the log as OTLP/JSON, for oversight and for what draws traces."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Response

from services.audit.tracing.otlp import document
from services.audit.tracing.read import find, read_page
from shared.unit_of_work.database import Database
from shared.web.callers import require_caller
from shared.web.pagination import read_cursor, write_cursor
from shared.web.problems import Problem

_PAGE = 1000
_NO_INDEX = 2**53
_READ = Depends(require_caller("oversight", "operator", scope="audit:read"))


def traces_router(database: Database) -> APIRouter:
    """The route of traces; machines need the scope `audit:read`."""
    router = APIRouter(tags=["oversight"])

    @router.get("/api/audit/v1/traces/{reference}", dependencies=[_READ])
    async def trace(reference: str, response: Response, cursor: str | None = None) -> dict[str, Any]:
        """The events of one correlation id as spans: an OTLP ExportTraceServiceRequest in JSON.

        `reference` is a correlation id (of a case its id), the id of any event, or a `trace_id` of the logs.
        A trace of more than a thousand spans comes in pages: the header `Link` names the next one.
        """
        start = _start(cursor)
        correlation = await find(database.pool, reference)
        if correlation is None:
            raise Problem(
                404,
                "no-such-trace",
                "The log has no such trace",
                "Ask by the id of a case or of an event, or by a correlation id. An event is normally in the "
                "log a second after it happened.",
            )
        spans, going_on = await read_page(database.pool, correlation, start, _PAGE)
        if going_on is not None:
            path = f"/api/audit/v1/traces/{quote(reference, safe='')}"
            response.headers["Link"] = f'<{path}?cursor={write_cursor(going_on)}>; rel="next"'
        return document(spans)

    return router


def _start(cursor: str | None) -> int:
    place = read_cursor(cursor, int)
    if place is None:
        return 0
    index: int = place[0]
    if not 0 <= index < _NO_INDEX:
        raise Problem(400, "bad-position", "This is not an index of the log", "Begin without `cursor`.")
    return index
