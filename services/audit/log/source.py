"""The log as a verifier reads it: a folder or a site, both by the paths of files in the log."""

import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import anyio.from_thread
import httpx

from services.audit.log.errors import LogError, Malformed
from services.audit.log.tiles import MAX_ENTRY_BYTES, TILE_BYTES, TILE_WIDTH, TileName, cut
from shared.bounded_client import MOST_BYTES, BoundedClient

CHECKPOINT = "checkpoint"
MAX_CHECKPOINT_BYTES = 1 << 20
MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
PARALLEL_FETCHES = 4
_FETCH_SECONDS = 120.0
_WIDTH = re.compile("[1-9][0-9]{0,2}", re.ASCII)


class Unreadable(LogError):
    """The file at `path` is missing or cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class LogSource(Protocol):
    """Read access to the files of one log."""

    def read(self, path: str, limit: int) -> bytes:
        """The file at `path`. Raises Unreadable; also if it has more than `limit` bytes."""
        ...

    def stream(self, names: Iterable[TileName]) -> Iterator[tuple[TileName, bytes]]:
        """The tiles and bundles in the order of `names`, in bounded memory. Raises Unreadable."""
        ...

    def smaller(self, name: TileName) -> list[TileName]:
        """The partial versions of `name` that are smaller and still exist, if they can be listed."""
        ...

    def close(self) -> None:
        """Release open resources."""
        ...


def open_source(location: Path | str) -> LogSource:
    """A folder, or a site if `location` begins with http:// or https://."""
    if isinstance(location, str) and location.startswith(("http://", "https://")):
        return Site(location)
    return Folder(Path(location))


def read_tile(source: LogSource, name: TileName) -> bytes:
    """A tile or bundle; a partial one that was removed is cut from the full one (tlog-tiles)."""
    limit = MAX_BUNDLE_BYTES if name.level == "entries" else TILE_BYTES
    try:
        return source.read(name.path, limit)
    except Unreadable:
        if name.width == TILE_WIDTH:
            raise
        try:
            full = source.read(name.full.path, limit)
        except Unreadable:
            raise Unreadable(name.path, f"neither this file nor {name.full.path} can be read") from None
    try:
        return cut(name.full, full, name.width)
    except Malformed as error:
        raise Unreadable(name.full.path, str(error)) from None


class Folder:
    """A log as a folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str, limit: int) -> bytes:
        try:
            data = (self._folder / path).read_bytes()
        except OSError as error:
            raise Unreadable(path, error.strerror or type(error).__name__) from None
        _check_length(path, len(data), limit)
        return data

    def stream(self, names: Iterable[TileName]) -> Iterator[tuple[TileName, bytes]]:
        for name in names:
            yield name, read_tile(self, name)

    def smaller(self, name: TileName) -> list[TileName]:
        try:
            held = [path.name for path in (self._folder / f"{name.full.path}.p").iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(f"{name.full.path}.p", error.strerror or type(error).__name__) from None
        widths = sorted(int(text) for text in held if _WIDTH.fullmatch(text))
        return [TileName(name.level, name.number, width) for width in widths if width < name.width]

    def close(self) -> None:
        """Nothing to release."""


class Site:
    """A log behind http(s); fetches a few files ahead of the reader."""

    def __init__(self, url: str) -> None:
        self._client = BoundedClient(
            most_bytes=MAX_BUNDLE_BYTES,
            seconds=_FETCH_SECONDS,
            base_url=url.rstrip("/") + "/",
            timeout=30,
            follow_redirects=True,
        )
        self._open = contextlib.ExitStack()
        # The client is asynchronous, since only so a whole answer can have a time limit; the readers are not.
        self._portal = self._open.enter_context(anyio.from_thread.start_blocking_portal())

    def read(self, path: str, limit: int) -> bytes:
        try:
            status, data = self._portal.call(self._get, path, limit)
        except httpx.HTTPError as error:
            raise Unreadable(path, str(error) or type(error).__name__) from None
        if status != httpx.codes.OK:
            raise Unreadable(path, f"HTTP {status}")
        return data

    async def _get(self, path: str, limit: int) -> tuple[int, bytes]:
        async with self._client.stream("GET", path, extensions={MOST_BYTES: limit}) as response:
            ok = response.status_code == httpx.codes.OK
            return response.status_code, await response.aread() if ok else b""

    def stream(self, names: Iterable[TileName]) -> Iterator[tuple[TileName, bytes]]:
        waiting: deque[tuple[TileName, Future[bytes]]] = deque()
        with ThreadPoolExecutor(PARALLEL_FETCHES) as pool:
            try:
                for name in names:
                    waiting.append((name, pool.submit(read_tile, self, name)))
                    if len(waiting) > 2 * PARALLEL_FETCHES:
                        first, fetched = waiting.popleft()
                        yield first, fetched.result()
                while waiting:
                    first, fetched = waiting.popleft()
                    yield first, fetched.result()
            finally:
                for _, fetched in waiting:
                    fetched.cancel()

    def smaller(self, name: TileName) -> list[TileName]:  # noqa: ARG002
        """A site cannot be listed; verify its folder to check these."""
        return []

    def close(self) -> None:
        """Closes the connections."""
        with self._open:
            self._portal.call(self._client.aclose)


def _check_length(path: str, length: int, limit: int) -> None:
    if length > limit:
        raise Unreadable(path, f"more than {limit} bytes")
