"""The log's private key: generated once, and refused if it is damaged."""

import stat
import threading
from pathlib import Path

import pytest

from services.audit.log.errors import LogBroken, Malformed
from services.audit.log.keyfile import encode, open_or_make, parse
from services.audit.log.note import Signer

SEED = bytes(range(32))
SIGNER = Signer("audit.example.gov/log", SEED)
LINE = encode(SIGNER, SEED)


def test_the_form_is_that_of_sumdb_note() -> None:
    head, key_id, key = LINE.removeprefix("PRIVATE+KEY+").split("+", 2)
    assert (head, key_id) == ("audit.example.gov/log", SIGNER.verifier.key_id.hex())
    assert parse(LINE + "\n").verifier.vkey == SIGNER.verifier.vkey
    assert len(key) == 44


def test_a_key_is_made_once_for_its_owner_alone_and_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.key"
    first = open_or_make(path, "one.example/log", has_log=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = open_or_make(path, "two.example/log", has_log=False)
    assert again.verifier.vkey == first.verifier.vkey
    assert list(path.parent.iterdir()) == [path]


def test_copies_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    start = threading.Barrier(16)
    keys: list[str] = []

    def begin() -> None:
        start.wait()
        keys.append(open_or_make(path, "one.example/log", has_log=False).verifier.vkey)

    threads = [threading.Thread(target=begin) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        SIGNER.verifier.vkey,
        LINE[:-8],
        LINE.replace("audit", "other"),
        LINE[:-2] + "!!",
        LINE.replace("+AQ", "+Ag"),
        "PRIVATE+KEY+name with spaces+00000000+AAAA",
        "PRIVATE+KEY++00000000+AAAA",
        "PRIVATE+KEY+钥匙",
    ],
)
def test_a_damaged_key_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(text, "utf-8")
    with pytest.raises(Malformed, match="key file"):
        open_or_make(path, "one.example/log", has_log=False)
    assert path.read_text("utf-8") == text


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Malformed):
        open_or_make(tmp_path / "log.key", "one.example/log", has_log=False)


def test_a_key_that_is_gone_is_not_replaced_once_the_log_exists(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    with pytest.raises(LogBroken, match="is gone, but the log has been signed"):
        open_or_make(path, "one.example/log", has_log=True)
    assert not path.exists()
    made = open_or_make(path, "one.example/log", has_log=False)
    assert open_or_make(path, "one.example/log", has_log=True).verifier.vkey == made.verifier.vkey
