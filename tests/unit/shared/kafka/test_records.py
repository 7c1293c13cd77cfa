"""Records as plain data, also those of foreign clients."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.kafka.client import raw_record
from shared.kafka.records import RawRecord
from shared.kafka.tolerant_records import TolerantRecords


def batch(*names: bytes) -> bytes:
    """One record per header name; a name of two bytes may be any bytes."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for offset, _ in enumerate(names):
        builder.append(offset, timestamp=1, key=b"k", value=b"v", headers=[("~~", b"x")])
    data = bytes(builder.build())
    for name in names:
        data = data.replace(b"~~", name, 1)
    return data


def headers(data: bytes) -> list[list[tuple[str, bytes]]]:
    records, found = TolerantRecords(data), []
    while records.has_next():
        found += [list(record.headers) for record in records.next_batch()]
    return found


def test_a_header_name_that_is_not_utf_8_is_escaped_and_nothing_behind_it_is_lost() -> None:
    assert headers(batch(b"ok", b"\xff\xfe", b"go")) == [
        [("ok", b"x")],
        [("\\xff\\xfe", b"x")],
        [("go", b"x")],
    ]


def test_batches_are_read_one_after_the_other() -> None:
    data = batch(b"aa") + batch(b"\xffb") + batch(b"cc")
    assert headers(data) == [[("aa", b"x")], [("\\xffb", b"x")], [("cc", b"x")]]
    assert TolerantRecords(data).size_in_bytes() == len(data)
    assert headers(b"") == []


def test_a_batch_can_be_asked_for_its_first_record_alone() -> None:
    """aiokafka does so with a control batch, whose first record is the marker of a transaction's end."""
    first = TolerantRecords(batch(b"aa")).next_batch()
    assert (first.is_control_batch, first.next_offset) == (False, 1)
    assert next(first).value == b"v"


@pytest.mark.parametrize(("name", "value"), [("words", b"1"), ("other", None)])
def test_the_first_header_of_a_name_counts(name: str, value: bytes | None) -> None:
    record = RawRecord("t", 0, 0, 0, None, None, (("words", b"1"), ("words", b"2")))
    assert record.header(name) == value


def test_a_header_without_a_value_is_dropped() -> None:
    found: Any = SimpleNamespace(
        topic="t",
        partition=1,
        offset=2,
        timestamp=3,
        key=b"k",
        value=None,
        headers=(("a", None), ("b", b"x")),
    )
    assert raw_record(found) == RawRecord("t", 1, 2, 3, b"k", None, (("b", b"x"),))
