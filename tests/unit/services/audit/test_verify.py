"""A verifier that has only files and a key finds every changed bit and names its place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.log.checkpoint import Checkpoint
from services.audit.log.entry import encode_entry
from services.audit.log.errors import Malformed
from services.audit.log.note import Signer
from services.audit.log.reset import Reset
from services.audit.log.tiles import TileName, bundle
from services.audit.log.verify import verify

WriteLog = Callable[[Path, Sequence[bytes]], str]
Serve = Callable[[Path], AbstractContextManager[str]]

# One full tile of level 1 would need 65,536 entries: enough for the slow test, too many for each flip.
SIZE = 600


def entries(size: int) -> list[bytes]:
    return [f"entry {i}".encode() for i in range(size)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, write_log: WriteLog) -> tuple[Path, str]:
    """Published in steps: partial files of earlier sizes stand there still, and are served."""
    folder = tmp_path_factory.mktemp("log")
    for size in (3, 7, 40, 300, 550):
        write_log(folder, entries(size))
    return folder, write_log(folder, entries(SIZE))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 512, 600])
def test_an_unchanged_log_verifies(tmp_path: Path, write_log: WriteLog, size: int) -> None:
    report = verify(tmp_path, write_log(tmp_path, entries(size)))
    assert report.ok
    assert report.entries == size
    assert report.checkpoint is not None
    assert report.checkpoint.size == size


def test_a_log_with_three_levels_of_tiles_verifies_and_a_bit_in_its_middle_level_is_found(
    tmp_path: Path, write_log: WriteLog
) -> None:
    vkey = write_log(tmp_path, entries(65_536 + 300))
    assert verify(tmp_path, vkey).ok
    middle = tmp_path / TileName(1, 0).path
    data = bytearray(middle.read_bytes())
    data[200 * 32 + 5] ^= 4
    middle.write_bytes(data)
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert failure.place == "tile/1/000"
    assert "hash 200" in failure.reason


@settings(max_examples=300)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(
    log: tuple[Path, str], data: st.DataObject
) -> None:
    folder, vkey = log
    path = data.draw(st.sampled_from(files_of(folder)))
    bit = data.draw(st.integers(0, path.stat().st_size * 8 - 1))
    flip(path, bit)
    try:
        failure = verify(folder, vkey).failure
    finally:
        flip(path, bit)
    assert failure is not None
    assert failure.place == str(path.relative_to(folder))


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/entries/000.p/40", "tile/entries/002.p/38"])
def test_a_flipped_bit_in_a_file_of_an_earlier_size_is_found(log: tuple[Path, str], path: str) -> None:
    folder, vkey = log
    flip(folder / path, 100)
    failure = verify(folder, vkey).failure
    flip(folder / path, 100)
    assert failure is not None
    assert failure.place == path
    assert failure.reason.startswith("is not how tile/")


def test_a_file_of_an_earlier_size_that_is_longer_than_all_that_came_later_is_found(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for size in (3, 7):
        vkey = write_log(tmp_path, entries(size))
    path = tmp_path / "tile/0/000.p/3"
    path.write_bytes(path.read_bytes() * 9)
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert failure.place == "tile/0/000.p/3"


def test_what_is_no_file_of_the_log_or_was_written_ahead_of_the_checkpoint_is_not_judged(
    tmp_path: Path, write_log: WriteLog
) -> None:
    vkey = write_log(tmp_path, entries(40))
    for name in ("notes.txt", "300", "041", "41", ".40.1234abcd"):
        (tmp_path / "tile/0/000.p" / name).write_bytes(b"?")
    assert verify(tmp_path, vkey).ok


def test_every_bit_of_the_checkpoint_counts(log: tuple[Path, str]) -> None:
    folder, vkey = log
    path = folder / "checkpoint"
    for bit in range(path.stat().st_size * 8):
        flip(path, bit)
        failure = verify(folder, vkey).failure
        flip(path, bit)
        assert failure is not None
        assert failure.place == "checkpoint"


@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, 599])
def test_a_changed_entry_is_named_by_its_index(log: tuple[Path, str], index: int) -> None:
    folder, vkey = log
    name = TileName("entries", index // 256, 256 if index < 512 else SIZE - 512)
    path = folder / name.path
    before = path.read_bytes()
    path.write_bytes(before.replace(f"entry {index}".encode(), f"extry {index}".encode()))
    try:
        failure = verify(folder, vkey).failure
    finally:
        path.write_bytes(before)
    assert failure is not None
    assert failure.place == name.path
    assert failure.reason.startswith(f"entry {index} ")


def test_a_changed_hash_is_named_by_its_position(log: tuple[Path, str]) -> None:
    folder, vkey = log
    path = folder / TileName(0, 1).path
    flip(path, 8 * (32 * 7 + 3))
    failure = verify(folder, vkey).failure
    flip(path, 8 * (32 * 7 + 3))
    assert failure is not None
    assert failure.place == "tile/0/001"
    assert failure.reason.startswith("hash 7 ")


def test_an_entry_exchanged_together_with_its_tile_is_found(tmp_path: Path, write_log: WriteLog) -> None:
    other = tmp_path / "other"
    vkey = write_log(tmp_path / "log", entries(SIZE))
    write_log(other, [b"another", *entries(SIZE)[1:]])
    for name in (TileName("entries", 0), TileName(0, 0)):
        (tmp_path / "log" / name.path).write_bytes((other / name.path).read_bytes())
    failure = verify(tmp_path / "log", vkey).failure
    assert failure is not None
    assert failure.place == "tile/0/000"
    assert "was changed with all below it" in failure.reason


def test_a_whole_other_tree_under_the_signed_checkpoint_is_found(tmp_path: Path, write_log: WriteLog) -> None:
    vkey = write_log(tmp_path / "log", entries(SIZE))
    note = (tmp_path / "log" / "checkpoint").read_bytes()
    write_log(tmp_path / "other", [b"another", *entries(SIZE)[1:]])
    (tmp_path / "other" / "checkpoint").write_bytes(note)
    failure = verify(tmp_path / "other", vkey).failure
    assert failure is not None
    assert failure.place == "checkpoint"
    assert failure.reason.startswith("line 3 ")


@pytest.mark.parametrize(
    "name",
    [
        TileName("entries", 0),
        TileName("entries", 2, 88),
        TileName(0, 1),
        TileName(0, 2, 88),
        TileName(1, 0, 2),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, write_log: WriteLog, name: TileName) -> None:
    vkey = write_log(tmp_path, entries(SIZE))
    (tmp_path / name.path).unlink()
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert failure.place == name.path


def test_a_missing_checkpoint_is_named(tmp_path: Path, signer: Signer) -> None:
    failure = verify(tmp_path, signer.verifier.vkey).failure
    assert failure is not None
    assert failure.place == "checkpoint"


def test_a_partial_tile_that_was_tidied_away_is_cut_from_the_full_one(
    tmp_path: Path, write_log: WriteLog, serve: Serve
) -> None:
    vkey = write_log(tmp_path / "old", entries(300))
    note = (tmp_path / "old" / "checkpoint").read_bytes()
    write_log(tmp_path / "new", entries(512))
    (tmp_path / "new" / "checkpoint").write_bytes(note)
    tile = tmp_path / "new" / TileName(1, 0, 1).path
    tile.write_bytes((tmp_path / "old" / TileName(1, 0, 1).path).read_bytes())
    assert verify(tmp_path / "new", vkey).ok
    with serve(tmp_path / "new") as url:
        assert verify(url, vkey).ok


def test_a_shortened_tile_and_a_lengthened_bundle_are_named(tmp_path: Path, write_log: WriteLog) -> None:
    vkey = write_log(tmp_path, entries(SIZE))
    path = tmp_path / TileName("entries", 1).path
    path.write_bytes(path.read_bytes() + bundle([b"one more"]))
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert (failure.place, "10 bytes follow" in failure.reason) == ("tile/entries/001", True)
    path = tmp_path / TileName(0, 0).path
    path.write_bytes(path.read_bytes()[:-32])
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert (failure.place, failure.reason) == ("tile/0/000", "has 8160 bytes, not 8192")


def test_another_logs_key_verifies_nothing(log: tuple[Path, str]) -> None:
    folder, _ = log
    failure = verify(folder, Signer("audit.example.gov/log", bytes(32)).verifier.vkey).failure
    assert failure is not None
    assert "no signature of audit.example.gov/log" in failure.reason


def test_a_checkpoint_that_promises_more_than_there_is_fails_at_the_first_missing_file(
    tmp_path: Path, write_log: WriteLog, signer: Signer
) -> None:
    vkey = write_log(tmp_path, entries(256))
    (tmp_path / "checkpoint").write_text(Checkpoint(signer.name, 10**12, bytes(32)).sign(signer))
    failure = verify(tmp_path, vkey).failure
    assert failure is not None
    assert failure.place == "tile/entries/001"


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        verify(tmp_path, "not a key")


@pytest.fixture
def site(log: tuple[Path, str], serve: Serve) -> Iterator[str]:
    with serve(log[0]) as url:
        yield url


def test_a_log_behind_http_is_verified_like_a_folder(log: tuple[Path, str], site: str) -> None:
    folder, vkey = log
    assert verify(site, vkey).ok
    path = folder / TileName("entries", 2, 88).path
    flip(path, 800)
    failure = verify(site, vkey).failure
    flip(path, 800)
    assert failure is not None
    assert failure.place == "tile/entries/002.p/88"


def test_progress_is_reported_up_to_the_last_entry(log: tuple[Path, str]) -> None:
    reported: list[tuple[int, int]] = []
    verify(*log, progress=lambda done, total: reported.append((done, total)))
    assert reported == [(256, 600), (512, 600), (600, 600)]


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_resets_are_named_and_what_only_looks_like_one_is_not(tmp_path: Path, write_log: WriteLog) -> None:
    reset = Reset("civic.inquiry.v1", 3, taken=48212, offset=0)
    found = entries(300)
    found[270] = encode_entry(reset.members(1_795_483_512_345))
    found[271] = b'{"kind":"reset","v":1}'
    found[272] = b'"kind":"reset"'
    found[273] = b'{"kind":"reset","offset":[],"partition":{},"taken":null,"topic":7,"v":1}'
    report = verify(tmp_path, write_log(tmp_path, found))
    assert (report.failure, report.resets) == (None, ((270, reset),))
