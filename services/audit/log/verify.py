"""Verifies a whole log from its files and its public key alone, and locates the first fault.

Everything is recomputed from the entries: their hashes must be the tiles of level 0, those'
roots the tiles above, and the root what the checkpoint signs. Memory stays flat: one entry
bundle, one tile, the right edge. Entries that say that a partition was read again are named.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.compact_range import CompactRange, tile_root
from services.audit.log.entry import parse_entry
from services.audit.log.errors import Malformed, NotProven
from services.audit.log.note import Verifier
from services.audit.log.reset import Reset, reset_of
from services.audit.log.source import (
    CHECKPOINT,
    MAX_CHECKPOINT_BYTES,
    LogSource,
    Unreadable,
    open_source,
    read_tile,
)
from services.audit.log.tiles import (
    TILE_WIDTH,
    TileName,
    cut,
    edge_names,
    split_bundle,
    split_hashes,
    tile_names,
)
from shared.merkle import EMPTY_ROOT, HASH_SIZE, leaf_hashes

OLDER = "the older checkpoint"
_RESET = b'"kind":"reset"'  # an entry is canonical: it is in each, and nearly never in another

Progress = Callable[[int, int], None]
"""Called with the number of entries checked so far, and of all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Where the log is wrong (a file of it, with the entry, hash or line) and in what way."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found: the signed checkpoint if there is one, and the first failure if there is one.

    `resets` are the entries, by index, that say that a partition was read again from another offset.
    """

    checkpoint: Checkpoint | None
    entries: int
    seconds: float
    failure: Failure | None
    resets: tuple[tuple[int, Reset], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every entry, every tile and the checkpoint agree."""
        return self.failure is None


class _Wrong(Exception):
    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.failure = Failure(place, reason)


def verify(
    location: Path | str, vkey: str, progress: Progress | None = None, since: bytes | None = None
) -> Report:
    """Check the log in a folder or at a URL against its verifier key.

    `since` is a checkpoint that was kept from before: the log must begin with what that signs.
    Raises Malformed for a key that is none; what is wrong with the log is in the report.
    """
    verifier = Verifier.parse(vkey)
    source = open_source(location)
    check = _Check(source, verifier, progress, since)
    started = time.monotonic()
    failure = None
    try:
        check.run()
    except _Wrong as wrong:
        failure = wrong.failure
    except Unreadable as error:
        failure = Failure(error.path, error.reason)
    finally:
        source.close()
    seconds = time.monotonic() - started
    return Report(check.checkpoint, check.entries, seconds, failure, tuple(check.resets))


class _Check:
    def __init__(
        self, source: LogSource, verifier: Verifier, progress: Progress | None, since: bytes | None
    ) -> None:
        self._source = source
        self._verifier = verifier
        self._progress = progress
        self._since = since
        self._older: Checkpoint | None = None
        self._beginning = EMPTY_ROOT
        self._left_over: _Wrong | None = None
        self.checkpoint: Checkpoint | None = None
        self.entries = 0
        self.resets: list[tuple[int, Reset]] = []

    def run(self) -> None:
        note = self._source.read(CHECKPOINT, MAX_CHECKPOINT_BYTES)
        checkpoint = self.checkpoint = self._opened(CHECKPOINT, note)
        if self._since is not None:
            older = self._older = self._opened(OLDER, self._since)
            if older.size > checkpoint.size:
                raise _Wrong(OLDER, f"signs {older.size} entries, but the log has only {checkpoint.size}")
        edge = self._check_tiles(checkpoint)
        if edge.root() != checkpoint.root:
            raise _Wrong(CHECKPOINT, "line 3 signs another root than all entries and tiles have")
        # Reported last: only now is the data verified that they were compared with; damage is not a split.
        if self._left_over is not None:
            raise self._left_over
        if self._older is not None and self._older.root != self._beginning:
            raise _Wrong(
                OLDER,
                f"signs another root than the first {self._older.size} entries of this log have: "
                "it was split, or its past was changed. Keep both checkpoints: they prove it",
            )

    def _opened(self, place: str, note: bytes) -> Checkpoint:
        try:
            return open_checkpoint(note, self._verifier)
        except (Malformed, NotProven) as error:
            raise _Wrong(place, str(error)) from None

    def _note_beginning(self, edge: CompactRange, leaves: list[bytes]) -> None:
        """Keeps the root that the log had at the older checkpoint's size, once that size is reached."""
        if self._older is not None and edge.size <= self._older.size <= edge.size + len(leaves):
            self._beginning = edge.extend(leaves[: self._older.size - edge.size])[0].root()

    def _note_resets(self, first: int, entries: list[bytes]) -> None:
        for index, entry in enumerate(entries, first):
            if _RESET in entry and (reset := _reset(entry)) is not None:
                self.resets.append((index, reset))

    def _check_tiles(self, checkpoint: Checkpoint) -> CompactRange:
        edge = CompactRange()
        computed: dict[TileName, bytes] = {}
        for name, data in self._source.stream(_files(checkpoint.size)):
            if name.level == "entries":
                entries = self._entries(name, data)
                self._note_resets(edge.size, entries)
                leaves = leaf_hashes(entries)
                self._note_beginning(edge, leaves)
                edge, full = edge.extend(leaves)
                computed = dict(full)
                if edge.size == checkpoint.size:
                    computed.update(edge.partial())
                self.entries = edge.size
                if self._progress:
                    self._progress(edge.size, checkpoint.size)
            elif data != computed[name]:
                raise self._blame(checkpoint, edge, name, data, computed[name])
            self._compare_smaller(name, data)
        return edge

    def _compare_smaller(self, name: TileName, data: bytes) -> None:
        """Smaller versions of a file that still exist must be prefixes of it."""
        for smaller in self._source.smaller(name):
            try:
                right = self._source.read(smaller.path, len(data)) == cut(name, data, smaller.width)
            except Unreadable:
                # Removed while this runs, as the log may grow while it is verified; else too long, or
                # damaged.
                right = smaller not in self._source.smaller(name)
            if not right and self._left_over is None:
                self._left_over = _Wrong(smaller.path, f"is not how {name.path} begins, which is right")

    def _entries(self, name: TileName, data: bytes) -> list[bytes]:
        try:
            return split_bundle(data, name.width)
        except Malformed as error:
            raise _Wrong(name.path, str(error)) from None

    def _blame(
        self, checkpoint: Checkpoint, edge: CompactRange, name: TileName, published: bytes, computed: bytes
    ) -> _Wrong:
        """Which of two files that disagree is wrong: the tree above them fits only one."""
        if len(published) != len(computed):
            return _Wrong(name.path, f"has {len(published)} bytes, not {len(computed)}")
        pairs = zip(split_hashes(published), split_hashes(computed), strict=True)
        position = next(i for i, (ours, theirs) in enumerate(pairs) if ours != theirs)
        if self._fits(checkpoint, edge, name, published):
            return self._blame_below(name, position)
        above = "is right" if self._fits(checkpoint, edge, name, computed) else "fits neither"
        return _Wrong(name.path, f"hash {position} is not that of what is below it; the tree above {above}")

    def _blame_below(self, name: TileName, position: int) -> _Wrong:
        number = name.number * TILE_WIDTH + position
        if name.level == 0:
            return _Wrong(
                TileName("entries", name.number, name.width).path,
                f"entry {number} (number {position} of the bundle) has not the hash that stands in the tree",
            )
        below = TileName(int(name.level) - 1, number)
        return _Wrong(below.path, f"was changed with all below it; {name.path} is right")

    def _fits(self, checkpoint: Checkpoint, edge: CompactRange, name: TileName, data: bytes) -> bool:
        """Whether `data` in place of this tile leads to what is above it: the parent's hash, or the root."""
        level = int(name.level)
        if name.width < TILE_WIDTH:
            levels = (*edge.levels[:level], data, *edge.levels[level + 1 :])
            return CompactRange(edge.size, levels).root() == checkpoint.root
        number, position = divmod(name.number, TILE_WIDTH)
        width = min(TILE_WIDTH, (checkpoint.size >> 8 * (level + 1)) - number * TILE_WIDTH)
        try:
            parent = read_tile(self._source, TileName(level + 1, number, width))
        except Unreadable:
            return False
        return parent[position * HASH_SIZE : (position + 1) * HASH_SIZE] == tile_root(data)


def _reset(entry: bytes) -> Reset | None:
    """The reset that an entry records; None if it is of another kind, or of another version."""
    try:
        members = parse_entry(entry)
        return reset_of(members) if members["kind"] == "reset" else None
    except (Malformed, KeyError, ValueError, TypeError):
        return None


def _files(size: int) -> Iterator[TileName]:
    """All files of a log of this size: each bundle, then the tiles that end with it."""
    for name in tile_names(size, "entries"):
        yield name
        if name.width == TILE_WIDTH:
            level, number = 0, name.number
            yield TileName(level, number)
            while number % TILE_WIDTH == TILE_WIDTH - 1:
                level, number = level + 1, number // TILE_WIDTH
                yield TileName(level, number)
    yield from edge_names(size)
