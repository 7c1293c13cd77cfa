"""Verification of Merkle proofs (RFC 9162 section 2.1; the tree is that of `shared.merkle`).

All hashes are 32 bytes; a proof is a list of them from the leaf's side to the root's.
"""

from collections.abc import Sequence

from services.audit.log.errors import NotProven
from shared.merkle import HASH_SIZE, node_hash


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` (a leaf hash) stands at `index` of the tree with `size` leaves and `root`.

    RFC 9162 section 2.1.3.2. Raises NotProven.
    """
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise NotProven(f"inclusion of entry {index} does not lead to the root of size {size}")


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root to which an inclusion proof leads. Raises NotProven if its length cannot fit."""
    if not 0 <= index < size:
        raise NotProven(f"entry {index} is not in a tree of size {size}")
    _check_hashes(leaf, *proof)
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise NotProven(f"inclusion proof of entry {index} is too long for size {size}")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise NotProven(f"inclusion proof of entry {index} is too short for size {size}")
    return result


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` begins with the tree of `old_size`.

    RFC 9162 section 2.1.4.2. Raises NotProven. An old size of 0 proves nothing and is refused:
    where a protocol knows "nothing seen yet", that is for the protocol to say.
    """
    if not 0 < old_size <= new_size:
        raise NotProven(f"no consistency proof leads from size {old_size} to {new_size}")
    _check_hashes(old_root, new_root, *proof)
    if old_size == new_size:
        if proof or old_root != new_root:
            raise NotProven(f"two different roots for size {new_size}")
        return
    if not proof:
        raise NotProven("the consistency proof is empty")
    old, new = _roots_from_consistency(old_size, new_size, old_root, proof)
    if old != old_root:
        raise NotProven(f"the proof does not lead to the root of size {old_size}")
    if new != new_root:
        raise NotProven(f"the proof does not lead to the root of size {new_size}")


def _roots_from_consistency(
    old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise NotProven("the consistency proof is too long")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise NotProven("the consistency proof is too short")
    return old, new


def _check_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise NotProven("a hash in the proof does not have 32 bytes")
