"""The stylesheet and the scripts, served by every service and cached by browsers for a year.

Addresses have a hash of the content, so that a new version has a new address.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from shared.web.problems import Problem

_FOLDER = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class _Asset:
    address: str
    content: bytes
    media_type: str


@cache
def _assets() -> dict[str, _Asset]:
    assets = {}
    for path in sorted(_FOLDER.iterdir()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        assets[path.name] = _Asset(f"{path.stem}.{digest}{path.suffix}", content, media_type)
    return assets


def static_url(name: str) -> str:
    """The address of a file of `shared/web/static`. Raises KeyError if there is no such file."""
    return f"/static/{_assets()[name].address}"


router = APIRouter(include_in_schema=False)


@router.get("/static/{address}")
async def static_file(address: str) -> Response:
    """A file by its hashed name.

    During a rolling upgrade a page of one version may ask a replica of another for its file: it gets the
    replica's file, but must not cache it.
    """
    stem, _, rest = address.partition(".")
    suffix = rest.rpartition(".")[2]
    asset = _assets().get(f"{stem}.{suffix}")
    if asset is None:
        raise Problem(404, "not-found", "There is no such file")
    kept = "public, max-age=31536000, immutable" if asset.address == address else "no-cache"
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": kept})
