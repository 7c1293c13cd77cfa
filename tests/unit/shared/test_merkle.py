"""Roots and hashes are those of RFC 6962 and of the known answers of transparency-dev/merkle."""

import hashlib

import pytest

from shared.merkle import EMPTY_ROOT, MerkleAccumulator, leaf_hash, leaf_hashes, node_hash, pair_up

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]


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
