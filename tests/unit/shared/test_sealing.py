"""What was sealed opens with the same key and purpose alone; what earlier releases sealed still opens."""

import pytest
from cryptography.exceptions import InvalidTag

from services.audit.log.errors import LogBroken
from services.audit.log.subjects import KeyBox, Subject
from services.publisher.keyring import Keyring, Sealed
from shared.sealing import KEY_BYTES, new_key, open_sealed, seal
from shared.web.sealed import Sealer

MASTER = bytes(range(32))
SUBJECT_KEY = bytes(range(32, 64))


def test_what_was_sealed_opens_with_the_same_key_and_aad() -> None:
    key = new_key()
    assert len(key) == KEY_BYTES
    sealed = seal(key, b"plain", b"row 1")
    assert len(sealed) == 12 + len(b"plain") + 16
    assert open_sealed(key, sealed, b"row 1") == b"plain"
    assert seal(key, b"plain", b"row 1") != sealed, "every value has a nonce of its own"


@pytest.mark.parametrize("damage", ["key", "aad", "bit", "cut", "short", "empty"])
def test_anything_else_is_refused(damage: str) -> None:
    key, aad = MASTER, b"row 1"
    sealed = seal(key, b"plain", aad)
    match damage:
        case "key":
            key = SUBJECT_KEY
        case "aad":
            aad = b"row 2"
        case "bit":
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        case "cut":
            sealed = sealed[:-1]
        case "short":
            sealed = sealed[:5]
        case "empty":
            sealed = b""
    with pytest.raises(InvalidTag):
        open_sealed(key, sealed, aad)


def test_an_address_that_an_earlier_release_sealed_still_opens() -> None:
    stored = Sealed(
        bytes.fromhex(
            "9bc7d608394846e70406bd51c56ecd720d23493b4ebe61b583daa7aaed6e9f50feef9a7abbaae4c5ae31ebf07d93ffa9"
        ),
        bytes.fromhex(
            "ab101a0afefa2d85880028437f06a9402facabada3a5ab7757a37a5aed7c01e9"
            "38ef620b221c82645f2fc0bfb0ff7e00d3cb307c74b0c27e5d2f8dc4"
        ),
    )
    assert Keyring(MASTER).open(stored, "case-1") == "resident@example.org"


def test_a_subjects_key_that_an_earlier_release_wrapped_still_opens() -> None:
    wrapped = bytes.fromhex(
        "f2f4018200bef92e6d366c5fd52b7f22c186be72213b3b54c30ba8f685d6d810"
        "e336174497ba15ce3cc979f7c16c2a9cbc3d3ad4df5b2c8ee804c525"
    )
    assert KeyBox(MASTER).unwrap("inq-1", wrapped) == SUBJECT_KEY
    with pytest.raises(LogBroken):
        KeyBox(MASTER).unwrap("inq-2", wrapped)


def test_words_of_the_log_that_an_earlier_release_sealed_still_open() -> None:
    sealed = bytes.fromhex("65ec8749024af25e5d82c8436328648b0b8e1ddd844fb9bd8699c97460b49713951dd9b934699924")
    assert Subject(7, SUBJECT_KEY).unseal(48211, sealed).decode() == "路灯不亮"
    with pytest.raises(LogBroken):
        Subject(7, SUBJECT_KEY).unseal(48212, sealed)


def test_a_cookie_that_an_earlier_release_sealed_still_opens() -> None:
    sealed = "GYuejtzy5N4DaQdRhuc1vqYzIZR9nt3loFRkbYZTjJKTM4nqzbSgeqED62NsAobewCzfvWRi_84c2OyFzM-nr0sf0xo="
    assert Sealer(MASTER, "session").open(sealed) == {"sub": "u-1"}
    assert Sealer(MASTER, "sign-in").open(sealed) is None
