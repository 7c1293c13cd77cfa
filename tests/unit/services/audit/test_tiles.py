"""Paths and contents as tlog-tiles has them."""

import pytest

from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import Malformed
from services.audit.log.tiles import TileName, bundle, edge_names, split_bundle, split_hashes, tile_names


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (TileName(0, 0), "tile/0/000"),
        (TileName(0, 999), "tile/0/999"),
        (TileName(2, 1000), "tile/2/x001/000"),
        (TileName(1, 1_234_067), "tile/1/x001/x234/067"),
        (TileName("entries", 1_234_067, 17), "tile/entries/x001/x234/067.p/17"),
    ],
)
def test_paths_group_a_number_by_thousands(name: TileName, path: str) -> None:
    assert name.path == path


def test_a_tree_of_70000_consists_of_the_tiles_of_the_specifications_example() -> None:
    names = [name for level in range(3) for name in tile_names(70_000, level)]
    assert len([name for name in names if name.level == 0 and name.width == 256]) == 273
    assert edge_names(70_000) == [TileName(0, 273, 112), TileName(1, 1, 17), TileName(2, 0, 1)]
    assert TileName(1, 0) in names


def test_a_tree_of_256_has_one_full_tile_and_a_partial_one_above() -> None:
    edge, full = CompactRange().extend([bytes(32)] * 256)
    assert [name for name, _ in full] == [TileName(0, 0)]
    assert [name for name, _ in edge.partial()] == edge_names(256) == [TileName(1, 0, 1)]


def test_an_empty_tree_has_no_tiles() -> None:
    assert (
        edge_names(0)
        == list(tile_names(0, 0))
        == list(tile_names(0, "entries"))
        == CompactRange().partial()
        == []
    )


def test_a_bundle_is_split_as_it_was_joined() -> None:
    entries = [b"", b"a", bytes(65_535)]
    assert split_bundle(bundle(entries), 3) == entries


def test_an_entry_too_long_for_its_length_is_refused() -> None:
    with pytest.raises(OverflowError):
        bundle([bytes(65_536)])


@pytest.mark.parametrize(
    ("data", "width", "complaint"),
    [
        (b"", 1, "ends after 0 of 1"),
        (b"\0", 1, "entry 0 of the bundle is cut off"),
        (b"\0\2a", 1, "entry 0 of the bundle is cut off"),
        (b"\0\1a\0", 2, "entry 1 of the bundle is cut off"),
        (b"\0\1a\0\1b", 1, "3 bytes follow"),
        (b"\0\1a\0\1b", 3, "ends after 2 of 3"),
    ],
)
def test_a_malformed_bundle_is_refused(data: bytes, width: int, complaint: str) -> None:
    with pytest.raises(Malformed, match=complaint):
        split_bundle(data, width)


def test_a_tile_of_broken_hashes_is_refused() -> None:
    with pytest.raises(Malformed):
        split_hashes(bytes(33))


@pytest.mark.parametrize(
    ("size", "levels"), [(1, ()), (1, (b"",)), (0, (bytes(32),)), (256, (b"",)), (2, (bytes(32),))]
)
def test_a_compact_range_that_does_not_fit_its_size_is_refused(size: int, levels: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="compact range of size"):
        CompactRange(size, levels)
