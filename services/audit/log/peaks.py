"""The root along another way than the tiles': a stack of perfect subtrees, one leaf at a time.

The writer computes every root twice before it signs; a bit that flips on one way shows on the other.
"""

from collections.abc import Iterable

from services.audit.log.edge import Edge
from services.audit.log.tiles import split_hashes
from services.audit.log.tree import EMPTY_ROOT, node_hash


class Peaks:
    """The perfect subtrees of a tree, as (height, hash) from the left."""

    def __init__(self, peaks: Iterable[tuple[int, bytes]] = ()) -> None:
        self._peaks = list(peaks)

    @classmethod
    def of(cls, edge: Edge) -> "Peaks":
        """Those of the tree that `edge` ends."""
        peaks = cls()
        for level in reversed(range(len(edge.levels))):
            for value in split_hashes(edge.levels[level]):
                peaks._push(8 * level, value)
        return peaks

    def extended(self, leaves: Iterable[bytes]) -> "Peaks":
        """Those after `leaves` (leaf hashes)."""
        peaks = Peaks(self._peaks)
        for leaf in leaves:
            peaks._push(0, leaf)
        return peaks

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result

    def _push(self, height: int, value: bytes) -> None:
        while self._peaks and self._peaks[-1][0] == height:
            value = node_hash(self._peaks.pop()[1], value)
            height += 1
        self._peaks.append((height, value))
