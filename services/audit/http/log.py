"""The public log below `/log`: checkpoint, tiles, key and proofs. Nobody signs in for these."""

import asyncio
import re
from collections import OrderedDict
from pathlib import Path

from fastapi import APIRouter, Request, Response

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.consistency import Consistency
from services.audit.log.entry import parse_entry
from services.audit.log.errors import LogError
from services.audit.log.files import LogFiles
from services.audit.log.note import Verifier
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.source import CHECKPOINT, Folder, read_tile
from services.audit.log.tiles import TileName
from services.audit.queries import entry_of_event
from shared.ids import is_id
from shared.unit_of_work.database import Database
from shared.web.pages import Pages
from shared.web.problems import Problem
from shared.web.state import web_state

_TEXT = "text/plain; charset=utf-8"
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_MUTABLE = {"Cache-Control": "public, max-age=1"}
_TILES_KEPT = 4096
_SIZE = re.compile("[1-9][0-9]{0,18}", re.ASCII)
# The paths that tlog-tiles knows: level 0 to 63, a number in groups of three digits, a width of 1 to 255.
_TILE = re.compile(
    r"(entries|[0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/){0,6}[0-9]{3}"
    r"(\.p/([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?",
    re.ASCII,
)


class Proofs:
    """Proofs from the published files. Full tiles never change and are kept, up to 32 MB."""

    def __init__(self, folder: Path, verifier: Verifier) -> None:
        self._files = LogFiles(folder)
        self._source = Folder(folder)
        self._verifier = verifier
        self._tiles: OrderedDict[TileName, bytes] = OrderedDict()

    def checkpoint(self) -> tuple[bytes, Checkpoint] | None:
        """The published note and what it says; None before the first. Raises LogError if it is not ours."""
        note = self._files.checkpoint()
        return None if note is None else (note, open_checkpoint(note, self._verifier))

    def prove(self, index: int, entry: bytes) -> bytes | None:
        """The .tlog-proof file of an entry, with the entry as `extra`; None if it is not published yet.

        Raises LogError if the published files are not those of our log, or are not all there.
        """
        found = self.checkpoint()
        if found is None or index >= found[1].size:
            return None
        note, checkpoint = found
        hashes = Prover(checkpoint.size, self._tile).inclusion(index)
        proof = Proof(index, tuple(hashes), note, entry)
        proof.verify(entry, self._verifier)  # a receipt that does not hold must not leave the house
        return proof.encode()

    def grown_from(self, old_size: int) -> bytes | None:
        """The proof that the published log begins with its first `old_size` entries; None if it has fewer.

        Raises LogError like `prove`.
        """
        found = self.checkpoint()
        if found is None or not 0 < old_size <= found[1].size:
            return None
        note, checkpoint = found
        prover = Prover(checkpoint.size, self._tile)
        consistency = Consistency(old_size, tuple(prover.consistency(old_size)), note)
        consistency.verify(prover.subtree_hash(0, old_size), self._verifier)
        return consistency.encode()

    def _tile(self, name: TileName) -> bytes:
        kept = self._tiles.get(name)
        if kept is not None:
            return kept
        data = read_tile(self._source, name)
        if name == name.full:
            self._tiles[name] = data
            if len(self._tiles) > _TILES_KEPT:
                self._tiles.popitem(last=False)
        return data


def log_router(database: Database, folder: Path, verifier: Verifier, pages: Pages) -> APIRouter:
    """The routes of the public log."""
    router = APIRouter(tags=["log"])
    proofs = Proofs(folder, verifier)

    @router.get("/log", include_in_schema=False)
    async def page(request: Request) -> Response:
        try:
            found = await asyncio.to_thread(proofs.checkpoint)
        except LogError as error:
            raise _damaged() from error
        note, checkpoint = found or (None, None)
        return pages.render(
            request,
            "log.html",
            checkpoint=checkpoint,
            note=note.decode() if note else None,
            vkey=verifier.vkey,
            log_url=f"{web_state(request).settings.public_url}/log",
        )

    @router.get("/log/checkpoint")
    async def checkpoint() -> Response:
        """The newest signed checkpoint (C2SP tlog-checkpoint), as it is published."""
        note = await asyncio.to_thread(LogFiles(folder).checkpoint)
        if note is None:
            raise Problem(
                503, "log-not-published", "The log has no checkpoint yet", headers={"Retry-After": "1"}
            )
        return Response(note, media_type=_TEXT, headers=_MUTABLE)

    @router.get("/log/key")
    async def key() -> Response:
        """The log's public key (vkey): all that a verifier needs."""
        return Response(verifier.vkey + "\n", media_type=_TEXT, headers=_MUTABLE)

    @router.get("/log/tile/{path:path}")
    async def tile(path: str) -> Response:
        """A tile or an entry bundle (C2SP tlog-tiles); immutable. A partial one goes once it is full."""
        if not _TILE.fullmatch(path):
            raise _no_tile()
        try:
            data = await asyncio.to_thread((folder / "tile" / path).read_bytes)
        except FileNotFoundError:
            raise _no_tile() from None
        return Response(data, media_type="application/octet-stream", headers=_IMMUTABLE)

    @router.get("/log/proof/{event_id}")
    async def proof(event_id: str, commitment: str | None = None) -> Response:
        """That an event is in the log (C2SP tlog-proof): with the event itself it is a receipt.

        Once its subject is erased only for who holds the event, and shows it by `commitment`.
        """
        if not is_id(event_id):
            raise Problem(404, "no-such-event", "There is no event with this id", "An event id is a UUID.")
        row = await entry_of_event(database.pool, event_id)
        if row and row.erased and commitment != parse_entry(row.entry)["commitment"]:
            # The id of an event can be derived from those of others: it must not lead to the entry any more,
            # whose pseudonym would lead to all others of an erased inquiry.
            raise Problem(
                410,
                "event-erased",
                "The case of this event has been erased",
                "Who holds the event adds ?commitment= and, in hex, the SHA-256 of a byte 2 and the event.",
            )
        try:
            data = await asyncio.to_thread(proofs.prove, row.index, row.entry) if row else None
        except LogError as error:
            raise _damaged() from error
        if data is None:
            raise Problem(
                404,
                "not-logged-yet",
                "This event is not under a checkpoint yet",
                "An event is normally in the log a second after it happened. Try again shortly.",
                headers={"Retry-After": "1"},
            )
        return Response(
            data,
            media_type=_TEXT,
            headers={"Content-Disposition": f'attachment; filename="{event_id}.tlog-proof"', **_MUTABLE},
        )

    @router.get("/log/consistency/{old_size}")
    async def consistency(old_size: str) -> Response:
        """That the log has only grown since it had so many entries (the body of C2SP tlog-witness)."""
        try:
            known = _SIZE.fullmatch(old_size)
            data = await asyncio.to_thread(proofs.grown_from, int(old_size)) if known else None
        except LogError as error:
            raise _damaged() from error
        if data is None:
            raise Problem(
                404,
                "no-such-size",
                "The log has not had this size",
                "A checkpoint of the log says how many entries it had; compare it with /log/checkpoint.",
            )
        return Response(data, media_type=_TEXT, headers=_MUTABLE)

    return router


def _no_tile() -> Problem:
    return Problem(404, "no-such-tile", "There is no such tile", f"Look at /log/{CHECKPOINT} for the size.")


def _damaged() -> Problem:
    return Problem(
        503,
        "log-damaged",
        "The published log is damaged",
        "What is published does not hold against the log's own key. The operator has to look.",
    )
