"""The width by which records were sent, from the records alone."""

import zlib

import pytest

from shared.kafka.records import RawRecord
from shared.kafka.used_width import width_of


def sent(width: int, count: int = 40) -> list[RawRecord]:
    """Records of as many keys, hashed over `width` partitions."""
    keys = [f"key-{n}".encode() for n in range(count)]
    return [RawRecord("t", zlib.crc32(key) % width, n, 0, key, b"") for n, key in enumerate(keys)]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8, 9])
def test_the_width_of_records_that_were_all_sent_by_one_is_that_one(width: int) -> None:
    assert width_of(sent(width), width, 9) == width
    assert width_of(sent(width), 1, 9) == width


def test_some_records_of_another_origin_do_not_change_it() -> None:
    stray = [RawRecord("t", number % 4, number, 0, b"stray", b"") for number in range(5)]
    assert width_of(sent(4) + stray, 4, 9) == 4
    assert width_of(sent(9) + stray, 9, 9) == 9


def test_records_without_a_key_show_nothing() -> None:
    assert width_of([RawRecord("t", 3, 0, 0, None, b"")], 4, 7) == 7


def test_of_equal_ones_it_is_the_largest() -> None:
    key = b"key"
    record = RawRecord("t", zlib.crc32(key) % 4, 0, 0, key, b"")
    fitting = [width for width in range(1, 9) if zlib.crc32(key) % width == record.partition]
    assert width_of([record], record.partition + 1, 8) == max(fitting)
