"""The check of clocks finds a judgement that is wrong, missing or too early."""

import datetime as dt
from typing import Any

import orjson
import pytest

from harness.clocks import Clock, check_clocks
from harness.history import History
from shared.kafka.records import RawRecord

START = dt.datetime(2026, 11, 23, 2, tzinfo=dt.UTC)
GRACE = dt.timedelta(seconds=30)
DUE, UNTIL = 120, 400
"""Minutes after the start: the end of the reply clock, and that of the window to evaluate in."""
Event = tuple[str, int, dict[str, Any]]


def at(minutes: float) -> str:
    return (START + dt.timedelta(minutes=minutes)).isoformat()


def found(events: list[Event], *, now: float) -> list[str]:
    """What is wrong with a case that has these events (kind, minute, data), at the minute `now`."""
    history = History("t")
    for number, (kind, minute, data) in enumerate(events, start=1):
        event = {
            "id": str(number),
            "source": "/services/inquiry",
            "subject": "case",
            "type": f"civic.inquiry.{kind}.v1",
            "sequence": f"{number:010d}",
            "time": at(minute),
            "effectivetime": data.pop("acted", at(minute)),
            "data": data,
        }
        if data.pop("caused", False):
            event["causationid"] = "a proposal"
        history.add(RawRecord("t.inquiry.v1", 0, number, 0, b"case", orjson.dumps(event), ()))
    clock = Clock(START + dt.timedelta(minutes=now), GRACE)
    return [violation.detail for violation in check_clocks(history, clock, frozenset())]


def received() -> Event:
    return ("received", 0, {"deadline": {"due": at(DUE)}})


def warned(percent: int) -> Event:
    return ("deadline_warned", DUE * percent / 100, {"percent": percent, "cycle": 1})


def breached(minute: float = DUE + 1, **more: Any) -> Event:
    return ("deadline_breached", minute, {"cycle": 1, **more})


def withdrawn() -> Event:
    return ("breach_withdrawn", DUE + 2, {"cycle": 1})


def replied(minute: float, *, on_time: bool, acted: float | None = None) -> Event:
    data = {"cycle": 1, "on_time": on_time, "evaluate_until": at(UNTIL)}
    return ("replied", minute, data | ({} if acted is None else {"acted": at(acted)}))


def closed(minute: float, outcome: str) -> Event:
    return ("closed", minute, {"cycle": 1, "outcome": outcome})


def reopened() -> Event:
    return ("reopened", 200, {"cycle": 2, "deadline": {"due": at(260)}})


@pytest.mark.parametrize(
    ("events", "now"),
    [
        ([received()], DUE),
        ([received(), warned(50), warned(80), warned(100), breached()], DUE + 5),
        ([received(), replied(DUE - 1, on_time=True)], UNTIL),
        ([received(), breached(), withdrawn(), replied(DUE + 2, on_time=True, acted=DUE)], UNTIL),
        ([received(), breached(), replied(DUE + 3, on_time=False)], UNTIL),
        # The late reply brings the judgement with it, before the timer, though the clock was set back.
        ([received(), breached(DUE - 1, caused=True), replied(0, on_time=False, acted=DUE + 1)], DUE),
        ([received(), breached()], DUE - 30),
        ([received(), replied(9, on_time=True), closed(20, "evaluated")], UNTIL + 1),
        ([received(), replied(9, on_time=True), closed(UNTIL + 1, "no_evaluation")], UNTIL + 1),
        ([received(), replied(9, on_time=True), reopened()], 250),
    ],
)
def test_what_is_judged_rightly_passes(events: list[Event], now: float) -> None:
    assert found(events, now=now) == []


@pytest.mark.parametrize(
    ("events", "now", "wrong"),
    [
        ([received()], DUE + 1, "no judgement"),
        ([received(), breached(DUE + 0.1)], DUE + 5, "it was judged at"),
        ([received(), breached(), breached()], DUE + 5, "it is breached 2 times"),
        ([received(), warned(50), warned(50)], DUE, "the warning at 50 % fired 2 times"),
        ([received(), warned(80), warned(50)], DUE, "the warnings fired in the order"),
        ([received(), breached(), withdrawn()], DUE + 5, "withdrawn without a reply"),
        ([received(), replied(DUE + 3, on_time=False)], UNTIL, "0 judgements stand"),
        ([received(), breached(), replied(DUE + 2, on_time=True, acted=DUE)], UNTIL, "1 judgements stand"),
        (
            [received(), breached(), withdrawn(), replied(DUE + 3, on_time=False)],
            UNTIL,
            "0 judgements stand",
        ),
        ([received(), breached(), replied(DUE + 3, on_time=True)], UNTIL, "has the wrong `on_time`"),
        ([received(), replied(9, on_time=True), replied(10, on_time=True)], UNTIL, "replied 2 times"),
        ([received(), replied(9, on_time=True), closed(UNTIL, "no_evaluation")], UNTIL, "before"),
        ([received(), replied(9, on_time=True)], UNTIL + 1, "it is open at"),
        ([received(), replied(9, on_time=True), reopened()], 261, "in round 2: there is no reply"),
        ([("received", 0, {}), breached()], DUE, "it has no deadline"),
    ],
)
def test_what_is_judged_wrongly_is_found(events: list[Event], now: float, wrong: str) -> None:
    assert any(wrong in one for one in found(events, now=now)), found(events, now=now)
