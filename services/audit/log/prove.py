"""Inclusion and consistency proofs, computed from tiles alone (RFC 6962 section 2.1.1 and 2.1.2).

The subtree forms are those of draft-ietf-plants-merkle-tree-certs section 4: `[start, end)` is a
subtree if `start` is a multiple of the smallest power of two that is not below `end - start`;
with `start` 0 they are the proofs of RFC 6962.
"""

from collections.abc import Callable

from services.audit.log.tiles import TILE_WIDTH, TileName, split_hashes
from shared.merkle import node_hash, pair_up

TileReader = Callable[[TileName], bytes]
"""Returns the bytes of a tile, named full or with the width that the tree's size gives it."""


class Prover:
    """Proofs in the tree of `size` leaves. Caches the tiles that it reads: make one per checkpoint."""

    def __init__(self, size: int, read: TileReader) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def inclusion(self, index: int) -> list[bytes]:
        """The hashes from the sibling of leaf `index` to the child of the root."""
        return self.subtree_inclusion(index, 0, self._size)

    def consistency(self, old_size: int) -> list[bytes]:
        """The hashes that lead from the root of `old_size` to that of this tree; none if it is the same."""
        return self.subtree_consistency(0, old_size)

    def root(self) -> bytes:
        """The root of the tree, from its tiles. The tree must not be empty."""
        return self.subtree_hash(0, self._size)

    def subtree_inclusion(self, index: int, start: int, end: int) -> list[bytes]:
        """The inclusion proof of leaf `index` in the subtree [start, end)."""
        if not start <= index < end <= self._size:
            raise ValueError(f"leaf {index} is not in [{start}, {end}) of a tree of size {self._size}")
        path: list[bytes] = []
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self.subtree_hash(middle, end))
                end = middle
            else:
                path.append(self.subtree_hash(start, middle))
                start = middle
        path.reverse()
        return path

    def subtree_consistency(self, start: int, end: int) -> list[bytes]:
        """The proof that the subtree [start, end) is part of this tree."""
        if not 0 <= start < end <= self._size:
            raise ValueError(f"[{start}, {end}) is not in a tree of size {self._size}")
        path: list[bytes] = []
        low, high = 0, self._size
        known = True  # the verifier has the subtree's own root already, so it need not be sent
        while (low, high) != (start, end):
            middle = low + _split(high - low)
            if end <= middle:
                path.append(self.subtree_hash(middle, high))
                high = middle
            else:
                path.append(self.subtree_hash(low, middle))
                if start < middle:
                    known = False
                    start = middle
                low = middle
        if not known:
            path.append(self.subtree_hash(start, end))
        path.reverse()
        return path

    def subtree_hash(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]) for a subtree [start, end)."""
        width = end - start
        if width & (width - 1):
            middle = start + _split(width)
            return node_hash(self.subtree_hash(start, middle), self.subtree_hash(middle, end))
        level, within = divmod(width.bit_length() - 1, 8)
        first = start >> 8 * level
        offset = first % TILE_WIDTH
        hashes = self._tile(level, first // TILE_WIDTH)[offset : offset + (1 << within)]
        while len(hashes) > 1:
            hashes = pair_up(hashes)
        return hashes[0]

    def _tile(self, level: int, number: int) -> list[bytes]:
        hashes = self._tiles.get((level, number))
        if hashes is None:
            width = min(TILE_WIDTH, (self._size >> 8 * level) - number * TILE_WIDTH)
            hashes = split_hashes(self._read(TileName(level, number, width)))
            self._tiles[level, number] = hashes
        return hashes


def _split(width: int) -> int:
    """The largest power of two below `width`: where RFC 6962 divides a tree."""
    return 1 << (width - 1).bit_length() - 1
