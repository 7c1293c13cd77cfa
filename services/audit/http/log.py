"""The public log below `/log`: checkpoint, tiles, key and proofs, all without signing in."""

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from services.audit import queries
from services.audit.http.context import Ctx
from services.audit.log.entry import parse_entry
from services.audit.log.errors import LogError
from services.audit.log.source import CHECKPOINT
from shared.ids import is_id
from shared.web.problems import Problem
from shared.web.state import web_state

_TEXT = "text/plain; charset=utf-8"
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_MUTABLE = {"Cache-Control": "public, max-age=1"}
_SIZE = re.compile("[1-9][0-9]{0,18}", re.ASCII)
# The paths that tlog-tiles knows: level 0 to 63, a number in groups of three digits, a width of 1 to 255.
_TILE = re.compile(
    r"(entries|[0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/){0,6}[0-9]{3}"
    r"(\.p/([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?",
    re.ASCII,
)

T = TypeVar("T")
router = APIRouter(tags=["log"])


@router.get("/log", include_in_schema=False)
async def page(request: Request, audit: Ctx) -> Response:
    """The page of the log: checkpoint, key, and how to verify it."""
    note, checkpoint = await _read(audit.published.checkpoint) or (None, None)
    return audit.pages.render(
        request,
        "log.html",
        checkpoint=checkpoint,
        note=note.decode() if note else None,
        vkey=audit.published.verifier.vkey,
        log_url=f"{web_state(request).settings.public_url}/log",
    )


@router.get("/log/checkpoint")
async def checkpoint(audit: Ctx) -> Response:
    """The newest signed checkpoint (C2SP tlog-checkpoint), as it is published."""
    note = await asyncio.to_thread(audit.published.note)
    if note is None:
        raise Problem(503, "log-not-published", "The log has no checkpoint yet", headers={"Retry-After": "1"})
    return Response(note, media_type=_TEXT, headers=_MUTABLE)


@router.get("/log/key")
async def key(audit: Ctx) -> Response:
    """The log's public key (vkey): all that a verifier needs."""
    return Response(audit.published.verifier.vkey + "\n", media_type=_TEXT, headers=_MUTABLE)


@router.get("/log/tile/{path:path}")
async def tile(path: str, audit: Ctx) -> Response:
    """A tile or an entry bundle (C2SP tlog-tiles); immutable. A partial one goes once it is full."""
    if not _TILE.fullmatch(path):
        raise _no_tile()
    try:
        data = await asyncio.to_thread(audit.published.tile, path)
    except FileNotFoundError:
        raise _no_tile() from None
    return Response(data, media_type="application/octet-stream", headers=_IMMUTABLE)


@router.get("/log/proof/{event_id}")
async def proof(event_id: str, audit: Ctx, commitment: str | None = None) -> Response:
    """That an event is in the log (C2SP tlog-proof): with the event itself it is a receipt.

    Once its subject is erased only for who holds the event, and shows it by `commitment`.
    """
    if not is_id(event_id):
        raise Problem(404, "no-such-event", "There is no event with this id", "An event id is a UUID.")
    logged = await queries.entry_of_event(audit.database.pool, event_id)
    if logged is None:
        raise _not_logged_yet()
    if logged.erased and commitment != parse_entry(logged.entry)["commitment"]:
        raise _erased()
    data = await _read(lambda: audit.published.prove(logged.index, logged.entry))
    if data is None:
        raise _not_logged_yet()
    attachment = {"Content-Disposition": f'attachment; filename="{event_id}.tlog-proof"'}
    return Response(data, media_type=_TEXT, headers=attachment | _MUTABLE)


@router.get("/log/consistency/{old_size}")
async def consistency(old_size: str, audit: Ctx) -> Response:
    """That the log has only grown since it had so many entries (the body of C2SP tlog-witness)."""
    if not _SIZE.fullmatch(old_size):
        raise _no_size()
    data = await _read(lambda: audit.published.prove_consistency(int(old_size)))
    if data is None:
        raise _no_size()
    return Response(data, media_type=_TEXT, headers=_MUTABLE)


async def _read(read: Callable[[], T]) -> T:
    """Runs `read` of the published files in a thread. Raises Problem 503 if they are damaged."""
    try:
        return await asyncio.to_thread(read)
    except LogError as error:
        raise Problem(
            503,
            "log-damaged",
            "The published log is damaged",
            "What is published does not hold against the log's own key. The operator has to look.",
        ) from error


def _no_tile() -> Problem:
    return Problem(404, "no-such-tile", "There is no such tile", f"Look at /log/{CHECKPOINT} for the size.")


def _no_size() -> Problem:
    return Problem(
        404,
        "no-such-size",
        "The log has not had this size",
        "A checkpoint of the log says how many entries it had; compare it with /log/checkpoint.",
    )


def _not_logged_yet() -> Problem:
    return Problem(
        404,
        "not-logged-yet",
        "This event is not under a checkpoint yet",
        "An event is normally in the log a second after it happened. Try again shortly.",
        headers={"Retry-After": "1"},
    )


def _erased() -> Problem:
    """Ids of events can be derived from those of others, so an id alone must not lead to an erased entry.

    The pseudonym in the entry would lead to all other entries of the erased inquiry.
    """
    return Problem(
        410,
        "event-erased",
        "The case of this event has been erased",
        "Who holds the event adds ?commitment= and, in hex, the SHA-256 of a byte 2 and the event.",
    )
