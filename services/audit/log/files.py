"""The published log: a folder of immutable files and one checkpoint, readable at any moment.

A file appears under its name complete and durable or not at all, and the checkpoint is replaced only once all
files that it needs exist. A crash at any point leaves a log that verifies.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.audit.log.errors import LogBroken
from services.audit.log.source import CHECKPOINT, Folder
from services.audit.log.tiles import TILE_WIDTH, TileName, cut, levels


class LogFiles:
    """Write access to the folder of one log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def checkpoint(self) -> bytes | None:
        """The newest published note; None before the first."""
        try:
            return (self._folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            return None

    def add(self, files: Iterable[tuple[TileName, bytes]], published: int) -> int:
        """Write the tiles and bundles that do not exist yet; returns how many. Durable on return.

        A different file beyond the `published` entries belongs to a history that a restore of the tables
        undid before any checkpoint named it: it is replaced. Raises LogBroken for a different file within
        them.
        """
        folders: set[Path] = set()
        written = 0
        for name, data in files:
            path = self._folder / name.path
            folders.add(path.parent)
            self._forget_lost(name, data, published)
            if path.exists():
                if path.read_bytes() == data:
                    continue  # an earlier run got this far
                if name.end <= published:
                    raise LogBroken(f"{name.path} is published, but it is not what the log's tables say")
            _write(path, data)
            written += 1
        for folder in folders:
            _sync_up(folder, self._folder)
        return written

    def _forget_lost(self, name: TileName, data: bytes, published: int) -> None:
        """Remove smaller versions of this file that an undone history left."""
        for smaller in Folder(self._folder).smaller(name):
            path = self._folder / smaller.path
            if smaller.end > published and path.read_bytes() != cut(name, data, smaller.width):
                path.unlink()

    def publish(self, note: bytes) -> None:
        """Replace the checkpoint, never by a smaller one. All files of its size must have been added.

        A publisher that was paused for long may resume behind its successor.
        """
        with _opened(self._folder) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            published = self.checkpoint()
            if published is None or _size(published) <= _size(note):
                _write(self._folder / CHECKPOINT, note)
                os.fsync(folder)

    def tidy(self, old_size: int, size: int) -> None:
        """Remove the partial files of `old_size` that are full in a tree of `size`.

        Readers of an older checkpoint cut what they need from the full file (tlog-tiles).
        """
        for level in range(levels(old_size)):
            number = old_size >> 8 * (level + 1)
            if (old_size >> 8 * level) % TILE_WIDTH and number < size >> 8 * (level + 1):
                shutil.rmtree(self._folder / f"{TileName(level, number).path}.p", ignore_errors=True)
                if level == 0:
                    shutil.rmtree(self._folder / f"{TileName('entries', number).path}.p", ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A unique name: two publishers may write the same file for a moment.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _size(note: bytes) -> int:
    """The size in a checkpoint that was verified elsewhere."""
    return int(note.split(b"\n", 2)[1])


def _sync_up(folder: Path, top: Path) -> None:
    """Make the names durable, including those of folders that have just been made."""
    _sync(folder)
    while folder != top:
        folder = folder.parent
        _sync(folder)


def _sync(folder: Path) -> None:
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
