"""When a parked key is retried."""

import datetime as dt

import pytest

from shared.clock import machine_now
from shared.inbox.parked_records import _claimed_type_and_id, next_attempt
from shared.inbox.parking import MAX_ATTEMPTS
from tests.unit.shared.made import raw


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (MAX_ATTEMPTS, 128), (9, 256), (10, 300), (60, 300)]
)
def test_the_wait_doubles_up_to_five_minutes(attempts: int, seconds: int) -> None:
    before = machine_now()
    due = next_attempt(attempts)
    assert before + dt.timedelta(seconds=seconds) <= due <= machine_now() + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"type":"t","id":"a-1"}', ("t", "a-1")),
        (b'{"type":"' + b"t" * 300 + b'","id":"' + b"i" * 300 + b'"}', ("t" * 200, "i" * 200)),
        (b'{"type":"t\\u0000","id":"a\\u0000"}', ("t", None)),
        (b'{"type":"t","id":7}', ("t", None)),
        (b'{"id":"a-1"}', (None, None)),
        (b"\xff", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_dead_letter_has_type_and_id_as_far_as_a_table_can_hold_them(
    value: bytes | None, found: tuple[str | None, str | None]
) -> None:
    assert _claimed_type_and_id(raw(value)) == found
