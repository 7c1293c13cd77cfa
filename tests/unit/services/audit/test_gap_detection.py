"""Lost records are reported, and what is no loss is not."""

import pytest

from services.audit.log.batch import Batch
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import OffsetGap, SequenceGap, advance_offsets, missing_before
from services.audit.log.parsing import prepare
from services.audit.log.subjects import Subject
from shared.contracts.base import ordinal
from shared.kafka.records import RawRecord

TOPIC = "civic.inquiry.v1"


def record(offset: int, partition: int = 0, sequence: int = 1, epoch: int = 1) -> RawRecord:
    value = (
        '{"id":"01a20c91-a000-7ced-98ed-30f4c4d475b3","type":"civic.inquiry.noted.v1","subject":"case",'
        '"source":"/services/inquiry","salt":"AAECAwQFBgcICQoLDA0ODw",'
        f'"sequence":"{sequence:010d}","epoch":{epoch}}}'
    )
    return RawRecord(TOPIC, partition, offset, 0, b"key", value.encode(), ())


def test_offsets_that_go_on_are_followed() -> None:
    offsets = {(TOPIC, 0): 5}
    assert advance_offsets([record(5), record(6)], offsets) == []
    assert offsets == {(TOPIC, 0): 7}


def test_offsets_that_are_skipped_are_reported_and_the_log_goes_on() -> None:
    offsets = {(TOPIC, 0): 100}
    assert advance_offsets([record(5000), record(5001), record(5003)], offsets) == [
        OffsetGap(TOPIC, 0, 100, 5000),
        OffsetGap(TOPIC, 0, 5002, 5003),
    ]
    assert offsets == {(TOPIC, 0): 5004}


def test_a_partition_that_is_seen_for_the_first_time_may_begin_anywhere() -> None:
    offsets = {(TOPIC, 0): 5}
    assert advance_offsets([record(7, partition=1), record(8, partition=1)], offsets) == []


def test_an_offset_that_is_handed_out_again_breaks_the_log() -> None:
    with pytest.raises(LogBroken, match=r"civic\.inquiry\.v1/0 is logged up to offset 5"):
        advance_offsets([record(0)], {(TOPIC, 0): 5})


@pytest.mark.parametrize(
    ("last", "now", "missing"),
    [
        (None, (1, 1), 0),
        (None, (1, 4), 3),
        (None, (3, 1), 0),
        ((1, 4), (1, 5), 0),
        ((1, 4), (1, 8), 3),
        ((1, 4), (1, 2), 0),
        ((1, 4), (2, 9), 0),  # restored: it goes on above what it found
        ((2, 4), (1, 9), 0),
    ],
)
def test_a_sequence_has_gaps_within_an_epoch(
    last: tuple[int, int] | None, now: tuple[int, int], missing: int
) -> None:
    assert missing_before(ordinal(*now), None if last is None else ordinal(*last)) == missing


def sequence_gaps(*records: RawRecord, late: bool = False) -> list[SequenceGap]:
    batch = Batch(7, late={(TOPIC, 0)} if late else frozenset())
    batch.add_all(prepare(records), {"case": Subject(0, bytes(32))})
    assert len(batch.entries) == len(records)
    return batch.sequence_gaps


def test_what_a_source_has_left_out_is_named_by_the_entry_behind_it() -> None:
    found = sequence_gaps(record(0, sequence=1), record(1, sequence=4), record(2, sequence=5))
    assert found == [SequenceGap(8, "/services/inquiry", 2)]
    assert sequence_gaps(record(0, sequence=3)) == [SequenceGap(7, "/services/inquiry", 2)]


def test_a_sequence_that_was_under_way_when_the_log_began_misses_nothing_but_later_it_does() -> None:
    assert sequence_gaps(record(40, sequence=3), record(41, sequence=4), late=True) == []
    found = sequence_gaps(record(40, sequence=3), record(41, sequence=6), late=True)
    assert found == [SequenceGap(8, "/services/inquiry", 2)]
