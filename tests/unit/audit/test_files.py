"""What is published never goes back."""

from pathlib import Path

import pytest

from services.audit.log.checkpoint import Checkpoint
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
    assert files.add([(TileName(0, 0), b"a" * 32)]) == 1
    assert files.add([(TileName(0, 0), b"b" * 32)]) == 0
    with pytest.raises(TypeError):
        files.add([(TileName(0, 1), None)])  # type: ignore[list-item]
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"a" * 32]
