"""`civicloom audit`: output and exit codes."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services import cli
from services.audit.log.entry import commitment, encode_entry
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.source import Folder, read_tile

WriteLog = Callable[[Path, Sequence[bytes]], str]
Serve = Callable[[Path], AbstractContextManager[str]]

RECEIPT = b'{"id":"01","salt":"AAECAwQFBgcICQoLDA0ODw"}'
SIZE = 300
PLACE = 280
STRANGER = Signer("audit.example.gov/log", bytes(range(1, 33))).verifier.vkey


@pytest.fixture
def log(tmp_path: Path, write_log: WriteLog) -> tuple[Path, str]:
    """A log with the receipt's event in it."""
    entries = [f"entry {i}".encode() for i in range(SIZE)]
    entries[PLACE] = encode_entry({"v": 1, "kind": "event", "commitment": commitment(RECEIPT)})
    folder = tmp_path / "log"
    folder.mkdir()
    return folder, write_log(folder, entries)


@pytest.fixture
def url(log: tuple[Path, str], serve: Serve) -> Iterator[str]:
    with serve(log[0]) as url:
        yield f"{url}/"


@pytest.fixture
def receipt(log: tuple[Path, str], tmp_path: Path) -> tuple[Path, Path]:
    """The two files that a citizen has: the proof and the event."""
    folder, _ = log
    note = LogFiles(folder).checkpoint()
    assert note is not None
    hashes = Prover(SIZE, lambda name: read_tile(Folder(folder), name)).inclusion(PLACE)
    entry = encode_entry({"v": 1, "kind": "event", "commitment": commitment(RECEIPT)})
    files = tmp_path / "01.tlog-proof", tmp_path / "receipt.json"
    files[0].write_bytes(Proof(PLACE, tuple(hashes), note, entry).encode())
    files[1].write_bytes(RECEIPT)
    return files


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_log_is_verified_in_a_folder_and_at_a_url(
    log: tuple[Path, str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, vkey = log
    for place in (str(folder), url):
        assert cli.main(["audit", "verify", place, "--key", vkey]) == 0
        assert capsys.readouterr().out.startswith(f"verified {SIZE} entries under the signed checkpoint")


@pytest.mark.parametrize(
    "path", ["checkpoint", "tile/0/000", "tile/entries/000", "tile/0/001.p/44", "tile/entries/001.p/44"]
)
def test_a_flipped_bit_is_reported_with_its_place_and_exit_code_1(
    log: tuple[Path, str], url: str, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    folder, vkey = log
    flip(folder / path)
    for place in (str(folder), url):
        assert cli.main(["audit", "verify", place, "--key", vkey]) == 1
        assert capsys.readouterr().out.startswith(f"NOT verified: {path}: ")
    assert cli.main(["audit", "verify", str(folder), "--key", vkey, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["failure"]["place"]) == (False, path)


def test_a_missing_file_is_reported_with_its_name(
    log: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, vkey = log
    (folder / "tile/entries/000").unlink()
    assert cli.main(["audit", "verify", str(folder), "--key", vkey]) == 1
    assert "tile/entries/000" in capsys.readouterr().out


def test_another_key_of_the_same_name_does_not_verify(
    log: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", "verify", str(log[0]), "--key", STRANGER]) == 1
    assert capsys.readouterr().out.startswith("NOT verified: checkpoint: the note carries no signature")


def test_an_empty_log_is_verified_and_an_empty_folder_is_not(
    tmp_path: Path, write_log: WriteLog, capsys: pytest.CaptureFixture[str]
) -> None:
    vkey = write_log(tmp_path, [])
    assert cli.main(["audit", "verify", str(tmp_path), "--key", vkey, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "size": 0,
        "entries": 0,
        "failure": None,
        "resets": [],
    }
    (tmp_path / "checkpoint").unlink()
    assert cli.main(["audit", "verify", str(tmp_path), "--key", vkey]) == 1


def test_nobody_at_the_url_is_not_verified(log: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "verify", "http://127.0.0.1:1/log", "--key", log[1]]) == 1
    assert capsys.readouterr().out.startswith("NOT verified: checkpoint: ")


def test_a_log_is_known_to_extend_a_checkpoint_that_was_kept(
    log: tuple[Path, str], tmp_path: Path, write_log: WriteLog, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, vkey = log
    for size in (0, 1, 256, PLACE, SIZE):
        older = folder
        if size <= PLACE:
            older = tmp_path / f"at {size}"
            older.mkdir()
            write_log(older, [f"entry {i}".encode() for i in range(size)])
        command = ["audit", "verify", str(folder), "--key", vkey, "--since", str(older / "checkpoint")]
        assert cli.main(command) == 0
        assert "which extends the older one" in capsys.readouterr().out


@pytest.mark.parametrize("size", [1, 256, 257, SIZE])
def test_a_log_that_was_split_is_found_by_a_checkpoint_that_was_kept(
    log: tuple[Path, str], tmp_path: Path, write_log: WriteLog, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    folder, vkey = log
    write_log(tmp_path / "other", [b"another"] * size)
    command = ["audit", "verify", str(folder), "--key", vkey, "--since"]
    assert cli.main([*command, str(tmp_path / "other" / "checkpoint")]) == 1
    assert f"another root than the first {size} entries of this log" in capsys.readouterr().out
    flip(folder / "tile/entries/000")
    assert cli.main([*command, str(tmp_path / "other" / "checkpoint")]) == 1
    assert capsys.readouterr().out.startswith("NOT verified: tile/entries/000: "), "damage is no split"


def test_a_log_that_is_shorter_than_a_checkpoint_that_was_kept_or_another_keys_is_refused(
    log: tuple[Path, str], tmp_path: Path, write_log: WriteLog, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, vkey = log
    write_log(tmp_path / "longer", [b"entry"] * (SIZE + 1))
    command = ["audit", "verify", str(folder), "--key", vkey, "--since"]
    assert cli.main([*command, str(tmp_path / "longer" / "checkpoint")]) == 1
    assert f"signs {SIZE + 1} entries, but the log has only {SIZE}" in capsys.readouterr().out
    (tmp_path / "foreign").write_text("no checkpoint\n")
    assert cli.main([*command, str(tmp_path / "foreign")]) == 1
    assert cli.main([*command, str(tmp_path / "nowhere")]) == 2


def test_the_key_may_stand_in_a_file(log: tuple[Path, str], tmp_path: Path) -> None:
    folder, vkey = log
    (tmp_path / "key").write_text(vkey + "\n")
    assert cli.main(["audit", "verify", str(folder), "--key", f"@{tmp_path / 'key'}"]) == 0


@pytest.mark.parametrize(
    ("location", "key", "complaint"),
    [
        ("nowhere", STRANGER, "nowhere is neither a folder nor an http(s) URL"),
        (".", "rubbish", "not a public key of a log"),
        (".", STRANGER[:-3] + "AAA", "not a public key of a log"),
        (".", "@nowhere", "nowhere: No such file or directory"),
        (".", "@.", "Is a directory"),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_code_2(
    location: str, key: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", "verify", location, "--key", key]) == 2
    answer = capsys.readouterr()
    assert (answer.out, complaint in answer.err, answer.err.count("\n")) == ("", True, 1)


def test_a_receipt_is_proven_offline(
    log: tuple[Path, str], receipt: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, vkey = log
    shutil.rmtree(folder)
    file, event = map(str, receipt)
    assert cli.main(["audit", "proof", file, "--event", event, "--key", vkey]) == 0
    said = f"proven: the event is entry {PLACE} of {SIZE} in the log audit.example.gov/log\n"
    assert capsys.readouterr().out == said
    assert cli.main(["audit", "proof", file, "--event", event, "--key", vkey, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["index"] == PLACE


def test_a_changed_receipt_proof_or_key_proves_nothing(
    log: tuple[Path, str], receipt: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, event = receipt
    command = ["audit", "proof", str(file), "--event", str(event), "--key"]
    assert cli.main([*command, STRANGER]) == 1
    assert "no signature" in capsys.readouterr().out
    event.write_bytes(RECEIPT + b"\n")
    assert cli.main([*command, log[1]]) == 1
    assert "does not commit to this event" in capsys.readouterr().out
    event.write_bytes(RECEIPT)
    file.write_bytes(b"no proof")
    assert cli.main([*command, log[1], "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert cli.main(["audit", "proof", "nowhere", "--event", str(event), "--key", log[1]]) == 2
