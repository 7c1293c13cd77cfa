"""The Merkle tree of RFC 6962 section 2.1: its hashes, and its root in one pass and O(log n) memory.

A leaf is SHA-256(0x00 || entry), a node SHA-256(0x01 || left || right), the empty tree SHA-256("").
All hashes are 32 bytes.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + entry).digest()


def leaf_hashes(entries: Sequence[bytes]) -> list[bytes]:
    """The hashes of many entries: the hot loop of the log's writer and verifier."""
    digest = sha256
    return [digest(b"\0" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def pair_up(hashes: Sequence[bytes]) -> list[bytes]:
    """The parents of an even number of neighbours; one comprehension is the fastest that Python does."""
    digest = sha256
    neighbours = iter(hashes)
    return [digest(b"\1" + left + right).digest() for left, right in zip(neighbours, neighbours, strict=True)]


class MerkleAccumulator:
    """The perfect subtrees of a tree that grows: enough to append leaves and to compute the root."""

    def __init__(self) -> None:
        # (height, root) from the left, heights strictly decreasing; a leaf has height 0.
        self._peaks: list[tuple[int, bytes]] = []

    def append(self, value: bytes, height: int = 0) -> None:
        """Append a leaf hash, or the root of a perfect subtree of 2**height leaves.

        The number of leaves so far must be a multiple of 2**height.
        """
        while self._peaks and self._peaks[-1][0] == height:
            value = node_hash(self._peaks.pop()[1], value)
            height += 1
        self._peaks.append((height, value))

    def extended(self, leaves: Iterable[bytes]) -> "MerkleAccumulator":
        """A new accumulator with `leaves` (leaf hashes) appended; this one is unchanged."""
        grown = MerkleAccumulator()
        grown._peaks = list(self._peaks)
        for leaf in leaves:
            grown.append(leaf)
        return grown

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result
