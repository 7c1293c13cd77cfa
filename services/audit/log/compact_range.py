"""The compact range of a tiled tree: all that a writer keeps in memory to continue from any size.

A compact range (the term of transparency-dev/merkle) represents the leaves [0, size) by the roots of
perfect subtrees. This one keeps them by level of tiles, so that it yields the tiles as they become full.
It is a value: `extend` returns a new one, so a batch that is rolled back leaves nothing to undo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.audit.log.tiles import TILE_BYTES, TILE_WIDTH, TileName, split_hashes
from shared.merkle import EMPTY_ROOT, HASH_SIZE, MerkleAccumulator, node_hash, pair_up

FullTile = tuple[TileName, bytes]


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The partial tile of each level, `levels[0]` that of the leaf hashes; 0 to 255 hashes each.

    Raises ValueError if `levels` do not fit `size`.
    """

    size: int = 0
    levels: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        for level, data in enumerate(self.levels):
            if len(data) != (self.size >> 8 * level) % TILE_WIDTH * HASH_SIZE:
                raise ValueError(
                    f"level {level} of a compact range of size {self.size} cannot have {len(data)} bytes"
                )
        if self.size >> 8 * len(self.levels):
            raise ValueError(f"a compact range of size {self.size} has more levels than {len(self.levels)}")

    def extend(self, leaves: Sequence[bytes]) -> tuple["CompactRange", list[FullTile]]:
        """The range after `leaves` (leaf hashes), and every tile that they made full, lower levels first."""
        size = self.size + len(leaves)
        full: list[FullTile] = []
        partial: list[bytes] = []
        arriving = b"".join(leaves)
        level = 0
        while arriving or level < len(self.levels):
            data = (self.levels[level] if level < len(self.levels) else b"") + arriving
            first = self.size >> 8 * (level + 1)
            cut = len(data) - len(data) % TILE_BYTES
            tiles = [data[i : i + TILE_BYTES] for i in range(0, cut, TILE_BYTES)]
            full.extend((TileName(level, first + i), tile) for i, tile in enumerate(tiles))
            partial.append(data[cut:])
            arriving = b"".join(tile_root(tile) for tile in tiles)
            level += 1
        return CompactRange(size, tuple(partial)), full

    def root(self) -> bytes:
        """The root of the whole tree."""
        peaks = [peak for data in reversed(self.levels) for peak in _peaks(split_hashes(data))]
        if not peaks:
            return EMPTY_ROOT
        result = peaks.pop()
        while peaks:
            result = node_hash(peaks.pop(), result)
        return result

    def accumulator(self) -> MerkleAccumulator:
        """The same tree without tiles: a second, independent way to its root."""
        accumulator = MerkleAccumulator()
        for level in reversed(range(len(self.levels))):
            for value in split_hashes(self.levels[level]):
                accumulator.append(value, 8 * level)
        return accumulator

    def partial(self) -> list[FullTile]:
        """The partial tiles that a checkpoint of this size has to be served with."""
        return [
            (TileName(level, self.size >> 8 * (level + 1), len(data) // HASH_SIZE), data)
            for level, data in enumerate(self.levels)
            if data
        ]


def tile_root(tile: bytes) -> bytes:
    """The root of a full tile: what the level above holds for it."""
    hashes = split_hashes(tile)
    while len(hashes) > 1:
        hashes = pair_up(hashes)
    return hashes[0]


def _peaks(hashes: list[bytes]) -> list[bytes]:
    """The roots of the perfect subtrees that cover an unfinished tile, the largest first."""
    peaks: list[bytes] = []
    start = 0
    for height in reversed(range(8)):
        width = 1 << height
        if len(hashes) & width:
            subtree = hashes[start : start + width]
            while len(subtree) > 1:
                subtree = pair_up(subtree)
            peaks.append(subtree[0])
            start += width
    return peaks
