"""The Merkle tree hash of RFC 6962 2.1 over a list that is read once, in memory of its logarithm.

Leaves are hashed as SHA-256(0x00 || leaf), nodes as SHA-256(0x01 || left || right).
"""

import hashlib


class TreeHash:
    """Takes leaves in order; `root` may be asked at any time."""

    def __init__(self) -> None:
        # The perfect subtrees from the left, as (number of leaves, hash).
        self._subtrees: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Appends a leaf (its data, not its hash)."""
        size, value = 1, hashlib.sha256(b"\0" + leaf).digest()
        while self._subtrees and self._subtrees[-1][0] == size:
            value = _node(self._subtrees.pop()[1], value)
            size *= 2
        self._subtrees.append((size, value))

    def root(self) -> bytes:
        """The tree hash of the leaves so far; of none, SHA-256 of nothing."""
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        value = self._subtrees[-1][1]
        for _, left in reversed(self._subtrees[:-1]):
            value = _node(left, value)
        return value


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
