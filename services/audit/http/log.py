"""The public log below `/log`: checkpoint, tiles, key and proofs. Nobody signs in for these."""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.files import LogFiles
from services.audit.log.note import Verifier
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.source import CHECKPOINT, Folder, read_tile
from services.audit.log.tiles import TileName
from services.audit.queries import QUERIES
from shared.database import Database
from shared.ids import is_id
from shared.web.pages import Pages
from shared.web.problems import Problem
from shared.web.state import web_state

_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_MUTABLE = {"Cache-Control": "public, max-age=1"}
_TILES_KEPT = 4096


class Proofs:
    """Inclusion proofs from the published files. Full tiles never change and are kept, up to 32 MB."""

    def __init__(self, folder: Path, verifier: Verifier) -> None:
        self._files = LogFiles(folder)
        self._source = Folder(folder)
        self._verifier = verifier
        self._tiles: OrderedDict[TileName, bytes] = OrderedDict()

    def checkpoint(self) -> tuple[bytes, Checkpoint] | None:
        """The published note and what it says; None before the first."""
        note = self._files.checkpoint()
        return None if note is None else (note, open_checkpoint(note, self._verifier))

    def prove(self, index: int, entry: bytes) -> bytes | None:
        """The .tlog-proof file of an entry, with the entry as `extra`; None if it is not published yet."""
        found = self.checkpoint()
        if found is None or index >= found[1].size:
            return None
        note, checkpoint = found
        hashes = Prover(checkpoint.size, self._tile).inclusion(index)
        return Proof(index, tuple(hashes), note, entry).encode()

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
        found = await asyncio.to_thread(proofs.checkpoint)
        place = f"{web_state(request).settings.public_url}/log"
        context: dict[str, Any] = {
            "checkpoint": None,
            "note": None,
            "vkey": verifier.vkey,
            "request_url": place,
        }
        if found is not None:
            context |= {"checkpoint": found[1], "note": found[0].decode()}
        return pages.render(request, "log.html", **context)

    @router.get("/log/checkpoint")
    async def checkpoint() -> Response:
        """The newest signed checkpoint (C2SP tlog-checkpoint)."""
        found = await asyncio.to_thread(proofs.checkpoint)
        if found is None:
            raise Problem(
                503, "log-not-published", "The log has no checkpoint yet", headers={"Retry-After": "1"}
            )
        return Response(found[0], media_type="text/plain; charset=utf-8", headers=_MUTABLE)

    @router.get("/log/key")
    async def key() -> Response:
        """The log's public key (vkey): all that a verifier needs."""
        return Response(verifier.vkey + "\n", media_type="text/plain; charset=utf-8", headers=_MUTABLE)

    @router.get("/log/tile/{path:path}")
    async def tile(path: str) -> Response:
        """A tile or an entry bundle (C2SP tlog-tiles); immutable."""
        # Only what a tile's path may consist of reaches the file system.
        if not path or not set(path) <= set("0123456789x/.pentris") or ".." in path:
            raise _no_tile(path)
        file = folder / "tile" / path
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _no_tile(path) from None
        return Response(data, media_type="application/octet-stream", headers=_IMMUTABLE)

    @router.get("/log/proof/{event_id}")
    async def proof(event_id: str) -> Response:
        """That an event is in the log (C2SP tlog-proof): with the event itself it is a receipt."""
        if not is_id(event_id):
            raise Problem(404, "no-such-event", "There is no event with this id", "An event id is a UUID.")
        row = await database.pool.fetchrow(QUERIES["entry_of_event"], event_id)
        data = await asyncio.to_thread(proofs.prove, row["index"], row["entry"]) if row else None
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
            media_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{event_id}.tlog-proof"', **_MUTABLE},
        )

    return router


def _no_tile(path: str) -> Problem:
    return Problem(
        404, "no-such-tile", "There is no such tile", f"Look at /log/{CHECKPOINT} for the size.", path=path
    )
