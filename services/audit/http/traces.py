"""A trace of the log as OTLP/JSON, for oversight and for tools that draw traces."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from services.audit.http.context import MAY_READ, NO_INDEX, Ctx
from services.audit.tracing.otlp import document
from services.audit.tracing.read import find, read_page
from shared.web.pagination import read_cursor, write_cursor
from shared.web.problems import Problem

_PAGE = 1000

router = APIRouter(tags=["oversight"])


@router.get("/api/audit/v1/traces/{reference}", dependencies=[MAY_READ])
async def trace(reference: str, response: Response, audit: Ctx, cursor: str | None = None) -> dict[str, Any]:
    """The events of one correlation id as spans: an OTLP ExportTraceServiceRequest in JSON.

    `reference` is a correlation id (of a case its id), the id of any event, or a `trace_id` of the logs.
    A trace of more than a thousand spans comes in pages: the header `Link` names the next one.
    """
    start = read_start(cursor)
    pool = audit.database.pool
    correlation = await find(pool, reference)
    if correlation is None:
        raise Problem(
            404,
            "no-such-trace",
            "The log has no such trace",
            "Ask by the id of a case or of an event, or by a correlation id. An event is normally in the "
            "log a second after it happened.",
        )
    spans, next_index = await read_page(pool, correlation, start, _PAGE)
    if next_index is not None:
        path = f"/api/audit/v1/traces/{quote(reference, safe='')}"
        response.headers["Link"] = f'<{path}?cursor={write_cursor(next_index)}>; rel="next"'
    return document(spans)


def read_start(cursor: str | None) -> int:
    """The log index in a cursor; 0 without one. Raises Problem 400 for a bad cursor."""
    read = read_cursor(cursor, int)
    if read is None:
        return 0
    index: int = read[0]
    if not 0 <= index < NO_INDEX:
        raise Problem(400, "bad-position", "This is not an index of the log", "Begin without `cursor`.")
    return index
