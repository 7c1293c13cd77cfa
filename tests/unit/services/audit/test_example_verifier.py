"""The stranger's verifier, which shares no code with ours, agrees with it."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.audit.log.files import LogFiles
from services.audit.log.tiles import TileName
from tests.paths import REPO

WriteLog = Callable[[Path, Sequence[bytes]], str]
Serve = Callable[[Path], AbstractContextManager[str]]


def run(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPO / "examples" / "verify.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size", [0, 1, 256, 700])
def test_it_accepts_our_logs(tmp_path: Path, write_log: WriteLog, size: int) -> None:
    vkey = write_log(tmp_path, [f"entry {i}".encode() for i in range(size)])
    result = run(tmp_path, vkey)
    assert (result.returncode, f"all {size} entries" in result.stdout) == (0, True)


def test_it_accepts_a_log_whose_last_bundle_became_full_while_it_was_read(
    tmp_path: Path, write_log: WriteLog, serve: Serve
) -> None:
    vkey = write_log(tmp_path, [f"entry {i}".encode() for i in range(300)])
    note = (tmp_path / "checkpoint").read_bytes()
    write_log(tmp_path, [f"entry {i}".encode() for i in range(700)])
    LogFiles(tmp_path).tidy(300, 700)
    (tmp_path / "checkpoint").write_bytes(note)
    with serve(tmp_path) as url:
        for place in (tmp_path, url):
            result = run(place, vkey)
            assert (result.returncode, "all 300 entries" in result.stdout) == (0, True), result.stderr


def test_it_refuses_a_changed_entry(tmp_path: Path, write_log: WriteLog) -> None:
    vkey = write_log(tmp_path, [f"entry {i}".encode() for i in range(300)])
    path = tmp_path / TileName("entries", 0).path
    path.write_bytes(path.read_bytes().replace(b"entry 77", b"entry 78"))
    result = run(tmp_path, vkey)
    assert result.returncode == 1
    assert "not those that the checkpoint signs" in result.stderr


def test_it_refuses_a_changed_checkpoint(tmp_path: Path, write_log: WriteLog) -> None:
    vkey = write_log(tmp_path, [b"entry"])
    path = tmp_path / "checkpoint"
    path.write_text(path.read_text().replace("\n1\n", "\n2\n"))
    assert run(tmp_path, vkey).returncode == 1


def test_without_folder_and_key_it_says_what_it_takes() -> None:
    for arguments in ([], ["folder"], ["folder", "key", "more"]):
        result = run(*arguments)
        assert (result.returncode, result.stderr) == (2, "usage: python verify.py FOLDER|URL VKEY\n")
