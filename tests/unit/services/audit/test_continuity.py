"""A partition is read on only if it is still the log that was read."""

import pytest

from services.audit.log.continuity import (
    Cursor,
    LogRefused,
    OffsetGap,
    Refusal,
    advance_offsets,
    check_partitions,
)
from shared.kafka.fingerprint import Fingerprint, LogState, fingerprint
from shared.kafka.records import RawRecord

TOPIC = "civic.inquiry.v1"
PLACE = (TOPIC, 0)


def record(offset: int, value: bytes = b"value", ms: int = 1) -> RawRecord:
    return RawRecord(TOPIC, 0, offset, ms, b"key", value)


def last(offset: int) -> Fingerprint:
    return fingerprint(record(offset))


def refusal(cursor: Cursor, state: LogState | None) -> Refusal:
    with pytest.raises(LogRefused) as caught:
        check_partitions({PLACE: cursor}, {} if state is None else {PLACE: state})
    [found] = caught.value.refusals
    assert f"civicloom audit resume {TOPIC}/0 --reason" in str(caught.value)
    return found


@pytest.mark.parametrize(
    ("cursor", "state"),
    [
        (Cursor(0, 5, last(4)), LogState(0, 5, record(4))),
        (Cursor(0, 5, last(4)), LogState(0, 9, record(4))),
        (Cursor(0, 5, last(4)), LogState(5, 9, None)),  # retention took the record before the cursor
        (Cursor(0, 5, last(4)), LogState(0, 9, None)),  # compaction did, or a marker stands there
        (Cursor(0, 5, None), LogState(0, 9, record(4))),  # of an older release
        (Cursor(0, 9, last(4)), LogState(0, 9, record(4))),  # an older release has moved it since
        (Cursor(0, 0, None), LogState(0, 0, None)),
    ],
)
def test_what_may_be_the_same_log_is_read_on(cursor: Cursor, state: LogState) -> None:
    assert check_partitions({PLACE: cursor}, {PLACE: state}) == []


def test_what_retention_took_before_it_was_logged_is_lost_and_not_another_log() -> None:
    cursor = Cursor(0, 5, last(4))
    assert check_partitions({PLACE: cursor}, {PLACE: LogState(8, 20)}) == [OffsetGap(TOPIC, 0, 5, 8)]


@pytest.mark.parametrize("other", [record(4, b"other"), record(4, ms=2)])
def test_another_record_before_the_cursor_is_another_log_however_far_it_has_grown(other: RawRecord) -> None:
    found = refusal(Cursor(0, 5, last(4)), LogState(0, 900, other))
    assert found[:4] == (TOPIC, 0, 5, 0)
    assert "at offset 4 stands another record" in found.finding


def test_an_end_before_the_cursor_is_refused_and_names_both() -> None:
    found = refusal(Cursor(0, 5, last(4)), LogState(2, 3))
    assert (found.taken, found.offset) == (5, 2)
    assert found.finding == "was logged up to offset 5, but ends at 3 now"


def test_a_partition_that_is_gone_is_refused_once_it_was_read() -> None:
    assert refusal(Cursor(0, 5, last(4)), None)[:4] == (TOPIC, 0, 5, 0)
    assert check_partitions({PLACE: Cursor(0, 0)}, {}) == []


def test_every_partition_that_is_refused_is_named() -> None:
    cursors = {(TOPIC, number): Cursor(0, 5, last(4)) for number in range(3)}
    states = {(TOPIC, 0): LogState(0, 1), (TOPIC, 1): LogState(0, 5, record(4))}
    with pytest.raises(LogRefused) as caught:
        check_partitions(cursors, states)
    assert [one.partition for one in caught.value.refusals] == [0, 2]


def test_offsets_advance_over_holes() -> None:
    offsets = {PLACE: 5}
    advance_offsets([record(5), record(7), record(20)], offsets)
    assert offsets == {PLACE: 21}


def test_an_offset_that_is_handed_out_again_is_refused() -> None:
    with pytest.raises(LogRefused, match=r"civic\.inquiry\.v1/0 was logged up to offset 5"):
        advance_offsets([record(0)], {PLACE: 5})
