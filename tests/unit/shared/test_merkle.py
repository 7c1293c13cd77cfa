"""Roots and hashes are those of RFC 6962 and of the known answers of transparency-dev/merkle."""

import hashlib

import pytest

from shared.merkle import EMPTY_ROOT, MerkleAccumulator, leaf_hash, leaf_hashes, node_hash, pair_up
from tests.known_trees import ENTRIES, ROOTS


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_tree(size: int) -> None:
    assert MerkleAccumulator().extended(leaf_hashes(ENTRIES[:size])).root() == ROOTS[size]


def test_leaf_and_node_hashes_differ_by_their_first_byte() -> None:
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    node = node_hash(b"N123", b"N456")
    assert node.hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 100])
def test_the_tree_hash_is_that_of_rfc_6962(size: int) -> None:
    leaves = [str(number).encode() for number in range(size)]
    tree = MerkleAccumulator()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    assert tree.root() == _definition(leaves)


def _definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + _definition(leaves[:split]) + _definition(leaves[split:])).digest()


def test_extending_leaves_the_accumulator_as_it_was() -> None:
    leaves = leaf_hashes(ENTRIES)
    three = MerkleAccumulator().extended(leaves[:3])
    assert three.extended(leaves[3:]).root() == ROOTS[8]
    assert three.root() == ROOTS[3]


def test_a_perfect_subtree_can_be_appended_by_its_root() -> None:
    leaves = leaf_hashes(ENTRIES)
    tree = MerkleAccumulator()
    tree.append(ROOTS[4], height=2)
    for leaf in leaves[4:7]:
        tree.append(leaf)
    assert tree.root() == ROOTS[7]


def test_neighbours_pair_up_and_one_without_neighbour_is_refused() -> None:
    leaves = leaf_hashes(ENTRIES[:4])
    assert pair_up(leaves) == [node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3])]
    with pytest.raises(ValueError, match="shorter"):
        pair_up(leaves[:3])
