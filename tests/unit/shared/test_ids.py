"""Identifiers: new ones are unique, derived ones repeatable, case numbers are read as people type them."""

import datetime as dt
import hashlib
import uuid
from zoneinfo import ZoneInfo

import pytest

from shared.ids import (
    CROCKFORD,
    case_number,
    case_secret,
    derived_id,
    floor_id,
    is_id,
    moment_of,
    new_id,
    read_case_number,
    secret_hash,
    trace_id,
)

NOW = dt.datetime(2026, 11, 24, 17, 30, 0, 250_000, tzinfo=dt.UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
CASE = "01a20b2c-89f0-7f01-8a2b-3c4d5e6f7081"


def test_a_new_id_is_a_uuid_of_version_7_with_its_moment() -> None:
    made = uuid.UUID(new_id(NOW))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert moment_of(str(made)) == NOW
    assert new_id(NOW) != new_id(NOW)


def test_every_bit_of_a_new_id_that_is_not_given_is_random() -> None:
    made = [uuid.UUID(new_id(NOW)).int for _ in range(100)]
    ever, always = 0, made[0]
    for value in made:
        ever, always = ever | value, always & value
    assert (ever & ~always).bit_count() == 74


def test_ids_of_later_moments_sort_later() -> None:
    assert new_id(NOW) < new_id(NOW + dt.timedelta(milliseconds=1))


def test_a_floor_lies_between_the_ids_of_two_milliseconds() -> None:
    later = NOW + dt.timedelta(milliseconds=1)
    assert new_id(NOW) < floor_id(later) < new_id(later)
    assert floor_id(NOW) < new_id(NOW)


def test_a_derived_id_is_the_same_each_time_and_differs_by_each_part() -> None:
    made = {
        derived_id(CASE, "t.v1"),
        derived_id(CASE, "t.v1"),
        derived_id(CASE, "t.v2"),
        derived_id(CASE, "t.v1", "x"),
        derived_id(new_id(NOW), "t.v1"),
    }
    assert len(made) == 4
    assert uuid.UUID(derived_id(CASE, "t.v1")).version == 8
    assert moment_of(derived_id(CASE, "t.v1")) == moment_of(CASE)


@pytest.mark.parametrize("number", range(50))
def test_a_derived_id_is_time_then_digest_with_version_and_variant_over_it(number: int) -> None:
    """RFC 9562, 5.8, in numbers: what events of older releases were given must be found again."""
    cause, target = new_id(NOW + dt.timedelta(milliseconds=number)), f"unit-{number}"
    digest = hashlib.sha256(f"{cause}\nt.v1\n{target}".encode()).digest()
    expected = bytearray(uuid.UUID(cause).bytes[:6] + digest[:10])
    expected[6] = 0x80 | expected[6] & 0x0F
    expected[8] = 0x80 | digest[2] & 0x3F
    assert derived_id(cause, "t.v1", target) == str(uuid.UUID(bytes=bytes(expected)))


@pytest.mark.parametrize("milliseconds", [-1, 1 << 48])
def test_a_time_that_no_uuid_holds_is_refused(milliseconds: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        derived_id("oa-2026-318", "t.v1", milliseconds=milliseconds)


def test_a_cause_that_is_no_uuid_needs_a_time() -> None:
    made = derived_id("oa-2026-318", "t.v1", milliseconds=1_795_000_000_000)
    assert moment_of(made) == dt.datetime.fromtimestamp(1_795_000_000, dt.UTC)
    with pytest.raises(ValueError, match="invalid literal"):
        derived_id("oa-2026-318", "t.v1")


@pytest.mark.parametrize(
    ("text", "found"), [(CASE, True), (CASE.upper(), False), (CASE.replace("-", ""), False), ("x", False)]
)
def test_an_id_has_one_spelling(text: str, found: bool) -> None:
    assert is_id(text) is found


def test_the_trace_of_a_case_is_its_id_and_of_other_text_a_hash() -> None:
    assert trace_id(CASE) == CASE.replace("-", "")
    nil = "00000000-0000-0000-0000-000000000000"
    assert set(map(len, map(trace_id, (nil, "text", "\ud800")))) == {32}
    assert trace_id(nil) != "0" * 32


def test_a_case_number_has_the_local_date_and_is_read_back() -> None:
    identifier = new_id(NOW)
    number = case_number(identifier, SHANGHAI)
    assert number.startswith("20261125-")
    assert case_number(identifier, ZoneInfo("Europe/Amsterdam")).startswith("20261124-")
    assert read_case_number(number) == number


def test_a_case_number_is_read_as_people_type_it() -> None:
    number = case_number(CASE, SHANGHAI)
    for typed in (
        number.lower(),
        number.replace("-", ""),
        f" {number[:12]} {number[12:]} ",
        number.replace("-", "–"),
    ):
        assert read_case_number(typed) == number
    with_zero = next(
        found
        for n in range(1000)
        if "0" in (found := case_number(new_id(NOW + dt.timedelta(n)), SHANGHAI))[9:19]
    )
    day, body, check = with_zero.split("-")
    assert read_case_number(f"{day}-{body.replace('0', 'O').replace('1', 'I')}-{check}") == with_zero


def test_every_single_wrong_character_is_found() -> None:
    number = case_number(CASE, SHANGHAI)
    for at, right in enumerate(number):
        if right == "-":
            continue
        for wrong in set(CROCKFORD) - {right}:
            typed = number[:at] + wrong + number[at + 1 :]
            assert read_case_number(typed) in (None, number), typed


@pytest.mark.parametrize(
    "text", ["", "1", "20261124", "20261124-7K3M9Q2XW-F", "２０２６1124-7K3M9Q2XWB-F", "U" * 19]
)
def test_what_cannot_be_a_case_number_is_none(text: str) -> None:
    assert read_case_number(text) is None


def test_a_secret_is_derived_from_key_and_case_and_is_hashed_as_it_is_typed() -> None:
    secret = case_secret(b"key", CASE)
    assert [len(group) for group in secret.split("-")] == [4, 4, 4, 4]
    assert secret == case_secret(b"key", CASE)
    assert len({secret, case_secret(b"other", CASE), case_secret(b"key", new_id(NOW))}) == 3
    typed = secret.lower().replace("-", " ").replace("1", "l").replace("0", "o")
    assert secret_hash(typed) == secret_hash(secret)
    assert secret_hash(secret) != secret_hash(secret[:-1])
