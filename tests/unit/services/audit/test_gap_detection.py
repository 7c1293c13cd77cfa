"""Missing events are found, and what comes late closes their gap."""

import datetime as dt

import pytest

from services.audit.log.batch import Batch
from services.audit.log.gap_detection import SequenceGap, close_gaps, missing_before
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


def gaps(*records: RawRecord, late: bool = False) -> list[tuple[int, str, str]]:
    batch = Batch(7, began_late={(TOPIC, 0)} if late else frozenset())
    batch.add_all(prepare(records), {"case": Subject(0, bytes(32))})
    assert len(batch.entries) == len(records)
    return [(gap.entry, gap.source, gap.sequences) for gap in batch.sequence_gaps]


def test_what_a_source_has_left_out_is_named_by_the_entry_behind_it() -> None:
    found = gaps(record(0, sequence=1), record(1, sequence=4), record(2, sequence=5))
    assert found == [(8, "/services/inquiry", "2 to 3")]
    assert gaps(record(0, sequence=3)) == [(7, "/services/inquiry", "1 to 2")]
    assert gaps(record(0, sequence=1, epoch=3), record(1, sequence=3, epoch=3)) == [
        (8, "/services/inquiry", "2 of epoch 3")
    ]


def test_a_sequence_that_was_under_way_when_the_log_began_misses_nothing_but_later_it_does() -> None:
    assert gaps(record(40, sequence=3), record(41, sequence=4), late=True) == []
    found = gaps(record(40, sequence=3), record(41, sequence=6), late=True)
    assert found == [(8, "/services/inquiry", "4 to 5")]


def test_an_event_below_the_highest_that_was_never_seen_is_late_and_its_second_sending_is_not() -> None:
    batch = Batch(0)
    events = [record(n, sequence=sequence) for n, sequence in enumerate((1, 3, 2, 2, 3))]
    batch.add_all(prepare(events), {"case": Subject(0, bytes(32))})
    assert batch.late == [(0, "/services/inquiry", ordinal(1, 2))]
    assert (len(batch.entries), batch.duplicates, batch.incidents) == (3, 2, 0)


def test_another_value_where_one_is_logged_is_an_incident_and_not_late() -> None:
    batch = Batch(0)
    other = record(3, sequence=1)
    other.value = (other.value or b"").replace(b"noted", b"closed")
    batch.add_all(prepare([record(0), record(1, sequence=2), other]), {"case": Subject(0, bytes(32))})
    assert (batch.late, batch.incidents) == ([], 1)


@pytest.mark.parametrize(
    ("arrived", "left"),
    [
        ([], [(3, 7), (9, 10)]),
        ([3], [(4, 7), (9, 10)]),
        ([6], [(3, 6), (9, 10)]),
        ([4, 5], [(3, 4), (6, 7), (9, 10)]),
        ([9], [(3, 7)]),
        ([3, 6, 5, 4, 9], []),
        ([2, 7, 8, 10], [(3, 7), (9, 10)]),
    ],
)
def test_what_comes_late_closes_its_gap_or_parts_it(arrived: list[int], left: list[tuple[int, int]]) -> None:
    at = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
    open_gaps = [SequenceGap(8, 1, "/s", 3, 7, at, reported=True), SequenceGap(9, 1, "/s", 9, 10, at)]
    others = [SequenceGap(8, 2, "/s", 3, 10), SequenceGap(8, 1, "/t", 3, 10)]
    found = close_gaps([*open_gaps, *others], [(1, "/s", number) for number in arrived])
    assert [(gap.first, gap.end) for gap in found[:-2]] == left
    assert found[-2:] == others
    assert all(gap.opened_at == at and gap.reported == (gap.end <= 7) for gap in found[:-2])
