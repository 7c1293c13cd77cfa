"""A small published log, made without a database."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.audit.log.checkpoint import Checkpoint
from services.audit.log.compact_range import CompactRange
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.tiles import TileName, bundle, tile_names
from shared.merkle import leaf_hashes

SIGNER = Signer("audit.example.gov/log", bytes(range(32)))

WriteLog = Callable[[Path, Sequence[bytes]], str]
Serve = Callable[[Path], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def signer() -> Signer:
    return SIGNER


@pytest.fixture(scope="session")
def write_log() -> WriteLog:
    """Publishes entries as a log in a folder; answers its vkey."""
    return _write_log


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Serves a folder over http while the context lasts; answers its URL."""
    return _serve


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


def _write_log(folder: Path, entries: Sequence[bytes]) -> str:
    edge, full = CompactRange().extend(leaf_hashes(entries))
    bundles: list[tuple[TileName, bytes]] = []
    for name in tile_names(len(entries), "entries"):
        first = name.number * 256
        bundles.append((name, bundle(entries[first : first + name.width])))
    files = LogFiles(folder)
    files.add([*bundles, *full, *edge.partial()], published=0)
    files.publish(Checkpoint(SIGNER.name, edge.size, edge.root()).sign(SIGNER).encode())
    return SIGNER.verifier.vkey
