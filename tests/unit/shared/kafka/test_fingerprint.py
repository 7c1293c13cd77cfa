"""A log is known again by the record that was read last."""

from dataclasses import replace

import pytest

from shared.kafka.fingerprint import Identity, LogState, compare, fingerprint
from shared.kafka.records import RawRecord

LAST = RawRecord("t", 0, 6, 1_764_000_000_000, b"case-1", b'{"id":"1"}')
NEXT = 7


def now(record: RawRecord | None = LAST, *, begin: int = 0, end: int = 10) -> LogState:
    return LogState(begin, end, record)


def test_the_same_record_is_the_same_log() -> None:
    assert compare(fingerprint(LAST), NEXT, now()) is Identity.SAME


@pytest.mark.parametrize(
    "changed", [{"key": b"case-2"}, {"key": None}, {"value": b"{}"}, {"value": None}, {"timestamp_ms": 1}]
)
def test_another_record_at_its_offset_is_another_log(changed: dict[str, object]) -> None:
    other = replace(LAST, **changed)  # type: ignore[arg-type]
    assert compare(fingerprint(LAST), NEXT, now(other)) is Identity.OTHER


def test_bytes_that_move_between_key_and_value_change_the_fingerprint() -> None:
    one, other = replace(LAST, key=b"ab", value=b"c"), replace(LAST, key=b"a", value=b"bc")
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(replace(LAST, key=None)) != fingerprint(replace(LAST, key=b""))


def test_a_log_that_ends_before_the_cursor_is_another_one() -> None:
    assert compare(fingerprint(LAST), NEXT, now(None, end=6)) is Identity.OTHER
    assert compare(None, NEXT, now(None, end=0)) is Identity.OTHER


def test_a_log_exactly_as_long_as_the_cursor_is_known_by_its_record() -> None:
    assert compare(fingerprint(LAST), NEXT, now(end=NEXT)) is Identity.SAME
    assert compare(fingerprint(LAST), NEXT, now(replace(LAST, value=b"{}"), end=NEXT)) is Identity.OTHER


def test_what_retention_compaction_or_a_marker_took_tells_nothing() -> None:
    assert compare(fingerprint(LAST), NEXT, now(None, begin=9)) is Identity.UNKNOWN
    assert compare(fingerprint(LAST), NEXT, now(None)) is Identity.UNKNOWN
    assert compare(fingerprint(LAST), NEXT, now(replace(LAST, offset=7))) is Identity.UNKNOWN


def test_a_cursor_of_an_older_release_has_nothing_to_compare() -> None:
    assert compare(None, NEXT, now()) is Identity.UNKNOWN
