"""After a run: a discard without its event is found, and a copy whose memory has grown."""

import orjson

from harness.history import History
from shared.kafka.records import RawRecord
from tests.chaos.memory import check_memory
from tests.chaos.operator import check_given_up


def test_a_discarded_dead_letter_without_its_event_is_found() -> None:
    event = {
        "id": "d",
        "source": "/services/routing",
        "subject": "case",
        "type": "civic.routing.deadletter_discarded.v1",
        "sequence": "0000000001",
        "data": {},
    }
    history = History("t")
    history.add(RawRecord("t.routing.v1", 0, 0, 0, b"case", orjson.dumps(event), ()))
    assert check_given_up(history, {"routing": 1, "inquiry": 0}) == []
    assert [violation.invariant for violation in check_given_up(history, {"routing": 2})] == ["I5"]
    assert [violation.invariant for violation in check_given_up(history, {"inquiry": 1})] == ["I5"]


def test_a_copy_that_has_grown_without_bounds_is_found() -> None:
    before = {"inquiry-0": 100 << 20, "inquiry-1": 100 << 20}
    assert check_memory(before, {"inquiry-0": 250 << 20}) == []
    swollen = check_memory(before, {"inquiry-0": 150 << 20, "inquiry-1": 400 << 20})
    assert [str(violation) for violation in swollen] == [
        "I7: inquiry-1 has 400 MiB, and had 100 MiB when it started"
    ]
