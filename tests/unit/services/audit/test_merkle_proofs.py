"""Known answers of transparency-dev/merkle and of draft-ietf-plants-merkle-tree-certs."""

import hashlib
from collections.abc import Iterator, Sequence

import pytest

from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import NotProven
from services.audit.log.merkle_proofs import verify_consistency, verify_inclusion
from services.audit.log.prove import Prover
from services.audit.log.tiles import TileName
from shared.merkle import EMPTY_ROOT, leaf_hashes
from tests.known_trees import ENTRIES, ROOTS


def tiles_of(leaves: Sequence[bytes]) -> dict[TileName, bytes]:
    edge, full = CompactRange().extend(leaves)
    return dict([*full, *edge.partial()])


def prover_of(leaves: Sequence[bytes]) -> Prover:
    return Prover(len(leaves), tiles_of(leaves).__getitem__)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_tree(size: int) -> None:
    leaves = leaf_hashes(ENTRIES[:size])
    assert CompactRange().extend(leaves)[0].root() == ROOTS[size]


def test_the_inclusion_of_index_5_in_size_8_is_the_known_path() -> None:
    leaves = leaf_hashes(ENTRIES)
    path = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        ROOTS[4].hex(),
    ]
    assert [value.hex() for value in prover_of(leaves).inclusion(5)] == path
    verify_inclusion(leaves[5], 5, 8, [bytes.fromhex(text) for text in path], ROOTS[8])


def test_the_consistency_of_6_with_7_is_the_known_path() -> None:
    path = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        ROOTS[4].hex(),
    ]
    assert [value.hex() for value in prover_of(leaf_hashes(ENTRIES[:7])).consistency(6)] == path
    verify_consistency(6, 7, ROOTS[6], ROOTS[7], [bytes.fromhex(text) for text in path])


MTC_LEAVES = leaf_hashes([bytes([i]) for i in range(130)])


def subtrees(limit: int) -> Iterator[tuple[int, int]]:
    for end in range(1, limit + 1):
        for start in range(end):
            if start % (1 << (end - start - 1).bit_length()) == 0:
                yield start, end


def line(prefix: str, proof: Sequence[bytes]) -> bytes:
    return " ".join([prefix, *(value.hex() for value in proof)]).encode() + b"\n"


def test_subtree_hashes_add_up_to_the_published_vector() -> None:
    prover, total = prover_of(MTC_LEAVES), hashlib.sha256()
    for start, end in subtrees(130):
        total.update(f"[{start}, {end}) {prover.subtree_hash(start, end).hex()}\n".encode())
    assert total.hexdigest() == "94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f"


def test_subtree_inclusion_proofs_add_up_to_the_published_vector() -> None:
    prover, total = prover_of(MTC_LEAVES), hashlib.sha256()
    for start, end in subtrees(130):
        for index in range(start, end):
            total.update(line(f"{index} [{start}, {end})", prover.subtree_inclusion(index, start, end)))
    assert total.hexdigest() == "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"


def test_subtree_consistency_proofs_add_up_to_the_published_vector() -> None:
    total = hashlib.sha256()
    for size in range(1, 131):
        prover = prover_of(MTC_LEAVES[:size])
        for start, end in subtrees(size):
            total.update(line(f"[{start}, {end}) {size}", prover.subtree_consistency(start, end)))
    assert total.hexdigest() == "c586ebbb73a5621baf2140095d87dde934e3b6503a562a1a5215b8209edd083d"


@pytest.mark.parametrize("damage", ["leaf", "index", "size", "root", "short", "long", "swapped", "narrow"])
def test_a_damaged_inclusion_proof_is_refused(damage: str) -> None:
    leaves = leaf_hashes(ENTRIES)
    leaf, index, size, proof, root = leaves[5], 5, 8, prover_of(leaves).inclusion(5), ROOTS[8]
    match damage:
        case "leaf":
            leaf = leaves[4]
        case "index":
            index = 4
        case "size":
            size = 9
        case "root":
            root = ROOTS[7]
        case "short":
            proof = proof[:-1]
        case "long":
            proof = [*proof, ROOTS[1]]
        case "swapped":
            proof = [proof[1], proof[0], proof[2]]
        case "narrow":
            proof = [proof[0][:31], *proof[1:]]
    with pytest.raises(NotProven):
        verify_inclusion(leaf, index, size, proof, root)


@pytest.mark.parametrize(
    "damage", ["old", "new", "roots", "padded", "short", "long", "empty", "zero", "backwards"]
)
def test_a_damaged_consistency_proof_is_refused(damage: str) -> None:
    old, new, proof = 6, 7, prover_of(leaf_hashes(ENTRIES[:7])).consistency(6)
    old_root, new_root = ROOTS[6], ROOTS[7]
    match damage:
        case "old":
            old_root = ROOTS[5]
        case "new":
            new_root = ROOTS[8]
        case "roots":
            old, old_root, proof = 7, ROOTS[8], []
        case "padded":  # RFC 9162 section 2.1.4.2: between equal sizes a proof is empty
            old, old_root = 7, ROOTS[7]
        case "short":
            proof = proof[:-1]
        case "long":
            proof = [*proof, ROOTS[1]]
        case "empty":
            proof = []
        case "zero":
            old, old_root = 0, EMPTY_ROOT
        case "backwards":
            old, new, old_root, new_root = 7, 6, ROOTS[7], ROOTS[6]
    with pytest.raises(NotProven):
        verify_consistency(old, new, old_root, new_root, proof)


@pytest.mark.parametrize("size", [31, 33])
def test_a_hash_of_another_length_proves_nothing_even_where_it_is_the_root(size: int) -> None:
    other = bytes(size)
    with pytest.raises(NotProven, match="32 bytes"):
        verify_inclusion(other, 0, 1, [], other)
    with pytest.raises(NotProven, match="32 bytes"):
        verify_consistency(1, 1, other, other, [])
    with pytest.raises(NotProven, match="32 bytes"):
        verify_consistency(1, 2, ROOTS[1], ROOTS[2], [other])


@pytest.mark.parametrize(("index", "size"), [(1, 1), (-1, 1), (0, 0), (8, 8)])
def test_an_entry_outside_the_tree_is_proven_by_nothing(index: int, size: int) -> None:
    leaf = leaf_hashes(ENTRIES)[0]
    with pytest.raises(NotProven, match=f"entry {index} is not in a tree of size {size}"):
        verify_inclusion(leaf, index, size, [], leaf)


def test_every_proof_of_every_small_tree_verifies() -> None:
    leaves = leaf_hashes([str(index).encode() for index in range(66)])
    roots = [CompactRange().extend(leaves[:size])[0].root() for size in range(67)]
    for size in range(1, 67):
        prover = prover_of(leaves[:size])
        for index in range(size):
            verify_inclusion(leaves[index], index, size, prover.inclusion(index), roots[size])
        for old in range(1, size + 1):
            verify_consistency(old, size, roots[old], roots[size], prover.consistency(old))
