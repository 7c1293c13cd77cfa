"""What is published never goes back."""

from pathlib import Path

import pytest

from services.audit.log.checkpoint import Checkpoint
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.tiles import TileName


def note(signer: Signer, size: int) -> bytes:
    return Checkpoint(signer.name, size, bytes(32)).sign(signer).encode()


def test_a_publisher_that_wakes_up_late_does_not_turn_the_checkpoint_back(
    tmp_path: Path, signer: Signer
) -> None:
    files = LogFiles(tmp_path)
    for size in (0, 300, 299, 9):
        files.publish(note(signer, size))
    assert files.checkpoint() == note(signer, 300)
    files.publish(note(signer, 1000))
    assert files.checkpoint() == note(signer, 1000)


def test_a_file_is_there_whole_or_not_at_all_and_nothing_else_is_left(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    assert files.add([(TileName(0, 0), b"a" * 32)], published=0) == 1
    assert files.add([(TileName(0, 0), b"a" * 32)], published=0) == 0
    with pytest.raises(TypeError):
        files.add([(TileName(0, 1), None)], published=0)  # type: ignore[list-item]
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"a" * 32]


def test_a_file_that_is_not_ours_is_replaced_beyond_what_is_published_and_else_breaks_the_log(
    tmp_path: Path,
) -> None:
    files = LogFiles(tmp_path)
    seen, ahead, other = (bytes([n]) * 32 * 7 for n in range(3))
    files.add([(TileName(0, 0, 3), seen[:96])], published=0)
    files.add([(TileName(0, 0, 5), ahead[:160])], published=3)
    with pytest.raises(LogBroken, match=r"tile/0/000\.p/3 is published"):
        files.add([(TileName(0, 0, 3), other[:96])], published=3)
    assert files.add([(TileName(0, 0, 5), other[:160])], published=3) == 1
    assert (tmp_path / "tile/0/000.p/5").read_bytes() == other[:160]
    files.add([(TileName(0, 0, 7), seen)], published=3)
    assert sorted(path.name for path in (tmp_path / "tile/0/000.p").iterdir()) == ["3", "7"]
