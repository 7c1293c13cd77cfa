"""Names and contents of the files of a tiled log (c2sp.org/tlog-tiles v0.1.0).

A tile at level L holds up to 256 hashes of 32 bytes, each the root of a full tile one level
below (at level 0: of an entry). An entry bundle holds the up to 256 entries under a tile of
level 0, each behind its length as a big-endian uint16. What is full never changes; what is
not yet full carries its width in its name, so that it never changes either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.audit.log.errors import Malformed
from shared.merkle import HASH_SIZE

TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_SIZE
MAX_ENTRY_BYTES = 0xFFFF

Level = int | Literal["entries"]


@dataclass(frozen=True, slots=True)
class TileName:
    """Which tile or bundle: its level, its number within the level, its width (256 = full)."""

    level: Level
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """`tile/0/x001/x234/067`, with `.p/W` behind it while the tile is partial."""
        name = f"tile/{self.level}/{number_path(self.number)}"
        return name if self.width == TILE_WIDTH else f"{name}.p/{self.width}"

    @property
    def end(self) -> int:
        """The least number of entries of a log that has this file."""
        return (self.number * TILE_WIDTH + self.width) << (0 if self.level == "entries" else 8 * self.level)

    @property
    def full(self) -> "TileName":
        """The name of the same tile or bundle once it is full."""
        return TileName(self.level, self.number)


def number_path(number: int) -> str:
    """A tile's number in groups of three digits, all but the last behind an `x`: `x001/x234/067`."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))


def tile_names(size: int, level: Level) -> Iterator[TileName]:
    """The tiles (or bundles) of one level that a tree of `size` leaves consists of, from the left."""
    hashes = size if level == "entries" else size >> 8 * level
    for number in range(hashes // TILE_WIDTH):
        yield TileName(level, number)
    if hashes % TILE_WIDTH:
        yield TileName(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)


def edge_names(size: int) -> list[TileName]:
    """The partial tiles of a tree of `size` leaves, from level 0 up."""
    return [
        TileName(level, size >> 8 * (level + 1), (size >> 8 * level) % TILE_WIDTH)
        for level in range(levels(size))
        if (size >> 8 * level) % TILE_WIDTH
    ]


def levels(size: int) -> int:
    """How many levels of tiles a tree of `size` leaves has."""
    return (size.bit_length() + 7) // 8


def split_hashes(tile: bytes) -> list[bytes]:
    """The hashes of a tile. Raises Malformed if it does not consist of whole hashes."""
    if len(tile) % HASH_SIZE:
        raise Malformed(f"a tile of {len(tile)} bytes does not consist of hashes of {HASH_SIZE}")
    return [tile[i : i + HASH_SIZE] for i in range(0, len(tile), HASH_SIZE)]


def bundle(entries: Sequence[bytes]) -> bytes:
    """The entry bundle of these entries. Raises OverflowError above 65,535 bytes an entry."""
    parts: list[bytes] = []
    for entry in entries:
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def cut(name: TileName, data: bytes, width: int) -> bytes:
    """What the tile or bundle `name` was while it had `width` hashes or entries. Raises Malformed."""
    if name.level != "entries":
        return data[: width * HASH_SIZE]
    return bundle(split_bundle(data, name.width)[:width])


def split_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle. Raises Malformed, naming the first entry that does not fit."""
    entries: list[bytes] = []
    start, end = 0, len(data)
    while start < end and len(entries) < width:
        stop = start + 2 + (data[start] << 8 | data[start + 1] if start + 1 < end else end)
        if stop > end:
            raise Malformed(f"entry {len(entries)} of the bundle is cut off")
        entries.append(data[start + 2 : stop])
        start = stop
    if len(entries) < width:
        raise Malformed(f"the bundle ends after {len(entries)} of {width} entries")
    if start != end:
        raise Malformed(f"{end - start} bytes follow the last of the bundle's {width} entries")
    return entries
