"""What a handler leaves behind when it fails: nothing of its work, and a fault that says why."""

from typing import Any

import pytest
import structlog

from shared.ids import trace_id
from shared.inbox.handlers import Fault, Results
from shared.inbox.rounds import apply, in_rounds
from shared.logs import _add_trace
from tests.unit.shared.inbox.test_rounds import FakeTx, event, handler, item, names


def test_an_item_that_changes_nothing_is_in_the_first_round() -> None:
    assert names(in_rounds([item("none"), item("a1", "a"), item("a2", "a"), item("none too")])) == [
        ["none", "a1", "none too"],
        ["a2"],
    ]


async def test_what_a_handler_did_before_it_failed_is_taken_back() -> None:
    async def run(tx: Any, events: list[Any]) -> Results:
        tx.mark_processed("case", "/s", 100 + len(events))
        if any(one.ordinal == 2 for one in events):
            raise ValueError("bad")
        return None

    tx: Any = FakeTx()
    found = await apply(tx, handler(run), [event(1), event(2)], careful=True)
    assert found == [None, Fault("ValueError", "bad")]
    assert tx.processed == [101, 1]


async def test_each_half_has_a_savepoint_of_its_own() -> None:
    async def run(_: Any, events: list[Any]) -> Results:
        if any(one.ordinal == 4 for one in events):
            raise ValueError("bad")
        return None

    tx: Any = FakeTx()
    await apply(tx, handler(run), [event(n) for n in range(1, 5)], careful=True)
    assert tx.savepoints == 5  # 1-4, 1-2, 3-4, 3, 4


async def test_the_message_of_a_fault_has_at_most_2000_characters() -> None:
    async def run(_: Any, __: list[Any]) -> Results:
        raise ValueError("x" * 5000)

    tx: Any = FakeTx()
    assert await apply(tx, handler(run), [event(1)], careful=True) == [Fault("ValueError", "x" * 2000)]


@pytest.mark.parametrize(("correlation", "logged"), [("other", "other"), (None, "case")])
async def test_a_failure_is_logged_under_the_case_or_what_it_correlates_with(
    correlation: str | None, logged: str
) -> None:
    seen: list[dict[str, Any]] = []

    async def run(_: Any, __: list[Any]) -> Results:
        raise ValueError("bad")

    def keep(_: Any, __: str, line: Any) -> Any:
        seen.append(dict(line))
        raise structlog.DropEvent

    failing = event(1)
    failing.event.correlationid = correlation
    tx: Any = FakeTx()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[_add_trace, keep])
    try:
        await apply(tx, handler(run), [failing], careful=True)
    finally:
        structlog.configure(processors=before)
    (line,) = seen
    assert (line["event"], line["type"], line["id"]) == ("event failed", "t", "e")
    assert line["trace_id"] == trace_id(logged)
