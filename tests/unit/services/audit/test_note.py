"""Known answers of C2SP signed-note.md, golang.org/x/mod/sumdb/note and sum.golang.org."""

import base64

import pytest

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.errors import LogError, Malformed, NotProven
from services.audit.log.note import Signer, Verifier, parse_note
from shared.merkle import EMPTY_ROOT

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2O"
    "NncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
NEUMANN_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
NEUMANN_NOTE = (
    NEUMANN_TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNX"
    "gKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB_NOTE = (
    "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n"
    "— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD"
    "+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n"
)
SIGNER = Signer("audit.example.gov/log", bytes(range(32)))


@pytest.mark.parametrize(("vkey", "note"), [(FOO, FOO_NOTE), (NEUMANN, NEUMANN_NOTE), (SUMDB, SUMDB_NOTE)])
def test_published_notes_verify(vkey: str, note: str) -> None:
    verifier = Verifier.parse(vkey)
    verifier.verify(parse_note(note.encode()))
    assert verifier.vkey == vkey


def test_signing_gives_the_published_signature() -> None:
    signer = Signer("PeterNeumann", NEUMANN_SEED)
    assert signer.verifier.vkey == NEUMANN
    assert signer.sign(NEUMANN_TEXT) == NEUMANN_NOTE


@pytest.mark.parametrize("vkey", [FOO, NEUMANN, SUMDB])
def test_every_proper_substring_of_a_key_is_refused(vkey: str) -> None:
    for start in range(len(vkey)):
        for end in range(start, len(vkey) + 1):
            if end - start < len(vkey):
                with pytest.raises(Malformed):
                    Verifier.parse(vkey[start:end])


@pytest.mark.parametrize("vkey", [FOO, NEUMANN, SUMDB])
def test_a_key_with_any_byte_increased_is_refused(vkey: str) -> None:
    for i, character in enumerate(vkey):
        with pytest.raises(Malformed):
            Verifier.parse(vkey[:i] + chr(ord(character) + 1) + vkey[i + 1 :])


def test_a_note_with_any_bit_flipped_is_refused() -> None:
    verifier, note = Verifier.parse(SUMDB), SUMDB_NOTE.encode()
    for position in range(len(note) * 8):
        flipped = bytearray(note)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(LogError):
            verifier.verify(parse_note(bytes(flipped)))


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    note = SIGNER.sign("text\n")
    other = Signer("witness.example", bytes(32)).sign("text\n").rpartition("\n\n")[2]
    SIGNER.verifier.verify(parse_note((note + other * 15).encode()))
    with pytest.raises(NotProven):
        Signer("unknown.example", bytes(32)).verifier.verify(parse_note((note + other).encode()))


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    bad = SIGNER.sign("other\n").rpartition("\n\n")[2]
    with pytest.raises(NotProven):
        SIGNER.verifier.verify(parse_note((SIGNER.sign("text\n") + bad).encode()))


def test_the_signatures_are_split_off_at_the_last_blank_line() -> None:
    note = parse_note(SIGNER.sign("first\n\nsecond\n").encode())
    assert note.text == "first\n\nsecond\n"


@pytest.mark.parametrize(
    ("note", "complaint"),
    [
        (b"text\n\n", "line 3: a note has 1 to 64 signatures"),
        (b"text\n", "no blank line"),
        (b"text\n\n\xe2\x80\x94 name AAAAAAAA", "does not end with a newline"),
        (b"te\rxt\n\n\xe2\x80\x94 name AAAAAAAA\n", "line 1 holds a control character"),
        (b"text\n\xff\n\n\xe2\x80\x94 name AAAAAAAA\n", "line 2 is not UTF-8"),
        (b"text\n\n- name AAAAAAAA\n", "line 3 is not a signature line"),
        (b"text\n\n\xe2\x80\x94 na+me AAAAAAAA\n", "line 3 is not a signature line"),
        (b"text\n\n\xe2\x80\x94 name\n", "line 3 is not a signature line"),
        (b"text\n\n\xe2\x80\x94  AAAAAAA=\n", "line 3 is not a signature line"),
        (b"text\n\n\xe2\x80\x94 na\xc2\xa0me AAAAAAA=\n", "line 3 is not a signature line"),
        (b"text\n\n\xe2\x80\x94 name AAAA\n", "line 3: the signature is too short"),
        (b"text\n\n\xe2\x80\x94 name AAAAAA==\n", "line 3: the signature is too short"),
        (b"text\n\n\xe2\x80\x94 name AAAAAAB=\n", "line 3: not the canonical base64"),
    ],
)
def test_a_malformed_note_is_refused_with_its_line(note: bytes, complaint: str) -> None:
    with pytest.raises(Malformed, match=complaint):
        parse_note(note)


def test_the_shortest_signature_is_a_key_id_and_a_byte() -> None:
    (signature,) = parse_note(b"text\n\n\xe2\x80\x94 name AAECAwQ=\n").signatures
    assert (signature.name, signature.key_id, signature.value) == ("name", b"\0\1\2\3", b"\4")


@pytest.mark.parametrize(("count", "accepted"), [(1, True), (64, True), (65, False)])
def test_a_note_has_1_to_64_signatures(count: int, accepted: bool) -> None:
    note = "text\n\n" + "— name AAECAwQ=\n" * count
    if accepted:
        assert len(parse_note(note.encode()).signatures) == count
    else:
        with pytest.raises(Malformed, match=f"this one {count}"):
            parse_note(note.encode())


def test_a_checkpoint_survives_signing_and_opening() -> None:
    checkpoint = Checkpoint(SIGNER.name, 0, EMPTY_ROOT)
    assert open_checkpoint(checkpoint.sign(SIGNER).encode(), SIGNER.verifier) == checkpoint


def test_the_checkpoint_of_another_origin_is_refused() -> None:
    note = Checkpoint("other.example/log", 0, EMPTY_ROOT).sign(SIGNER)
    with pytest.raises(Malformed, match="line 1 names the log"):
        open_checkpoint(note.encode(), SIGNER.verifier)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("audit.example.gov/log\n1\n", "at least three lines"),
        ("audit.example.gov/log\n\n1\n", "at least three lines"),
        ("audit.example.gov/log\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "line 2"),
        ("audit.example.gov/log\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "line 2"),
        (
            "audit.example.gov/log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
            "line 3: not the canonical",
        ),
        ("audit.example.gov/log\n1\n47DEQpj8HBSa+/TImW+5\n", "line 3 is not the base64 of a SHA-256 hash"),
    ],
)
def test_a_malformed_checkpoint_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(Malformed, match=complaint):
        open_checkpoint(SIGNER.sign(text).encode(), SIGNER.verifier)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "tab\there"])
def test_a_key_needs_a_name_without_spaces_and_plus(name: str) -> None:
    with pytest.raises(ValueError, match="a key's name"):
        Signer(name, bytes(32))
