"""Trees of any size agree with RFC 6962's definition, and proofs hold for their own claim alone."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import NotProven
from services.audit.log.merkle_proofs import verify_consistency, verify_inclusion
from services.audit.log.prove import Prover
from services.audit.log.tiles import TileName
from shared.merkle import MerkleAccumulator, leaf_hash, node_hash

LEAVES = [leaf_hash(str(i).encode()) for i in range(1500)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(mth(leaves[:split]), mth(leaves[split:]))


def tiles(size: int) -> Callable[[TileName], bytes]:
    tree, full = CompactRange().extend(LEAVES[:size])
    return dict([*full, *tree.partial()]).__getitem__


sizes = st.integers(1, len(LEAVES))


@given(sizes)
def test_every_way_to_the_root_is_the_definition(size: int) -> None:
    expected = mth(LEAVES[:size])
    assert CompactRange().extend(LEAVES[:size])[0].root() == expected
    assert MerkleAccumulator().extended(LEAVES[:size]).root() == expected
    assert Prover(size, tiles(size)).root() == expected


@given(st.lists(st.integers(0, 600), max_size=6))
def test_a_tree_does_not_depend_on_the_steps_in_which_it_grew(steps: list[int]) -> None:
    tree, accumulator = CompactRange(), MerkleAccumulator()
    seen: list[tuple[TileName, bytes]] = []
    leaves = LEAVES * 3
    for step in steps:
        grown, full = tree.extend(leaves[tree.size : tree.size + step])
        accumulator = tree.accumulator().extended(leaves[tree.size : tree.size + step])
        tree = grown
        seen += full
    whole, full = CompactRange().extend(leaves[: sum(steps)])
    assert tree == whole
    assert sorted(seen, key=str) == sorted(full, key=str)
    assert accumulator.root() == tree.root()


@given(sizes, st.data())
def test_an_inclusion_proof_holds_for_its_leaf_and_index_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    root = mth(LEAVES[:size])
    proof = Prover(size, tiles(size)).inclusion(index)
    verify_inclusion(LEAVES[index], index, size, proof, root)
    if other != index:
        for leaf, place in ((LEAVES[other], index), (LEAVES[index], other)):
            with pytest.raises(NotProven):
                verify_inclusion(leaf, place, size, proof, root)


@given(sizes, st.data())
def test_a_consistency_proof_holds_for_its_two_trees_alone(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = Prover(new, tiles(new)).consistency(old)
    old_root, new_root = mth(LEAVES[:old]), mth(LEAVES[:new])
    verify_consistency(old, new, old_root, new_root, proof)
    forked = mth([*LEAVES[: old - 1], leaf_hash(b"another")])
    with pytest.raises(NotProven):
        verify_consistency(old, new, forked, new_root, proof)
    with pytest.raises(NotProven):
        verify_consistency(old, new, old_root, forked, proof)
    for i in range(len(proof)):
        damaged = [*proof[:i], leaf_hash(proof[i]), *proof[i + 1 :]]
        with pytest.raises(NotProven):
            verify_consistency(old, new, old_root, new_root, damaged)
