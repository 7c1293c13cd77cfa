"""What a case's clocks must have said: late is judged if and only if it was late, and nothing twice. Pure."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.history import History, Seen, Sequenced, Violation

_INQUIRY = "/services/inquiry"
_BEGINS = frozenset(f"civic.inquiry.{name}.v1" for name in ("received", "accepted", "reopened"))
_BREACHED, _WITHDRAWN = "civic.inquiry.deadline_breached.v1", "civic.inquiry.breach_withdrawn.v1"
_WARNED, _REPLIED = "civic.inquiry.deadline_warned.v1", "civic.inquiry.replied.v1"
_CLOSED, _REOPENED = "civic.inquiry.closed.v1", "civic.inquiry.reopened.v1"


class Clock(NamedTuple):
    """Where business time stood when all was at rest, and how long a judgement waits after its moment."""

    now: dt.datetime
    grace: dt.timedelta


@dataclass(slots=True)
class _Round:
    """One reply clock of a case: from acceptance or reopening to the reply."""

    due: dt.datetime | None = None
    warned: Counter[int] = field(default_factory=Counter)
    breached: list[Seen] = field(default_factory=list)
    withdrawn: list[Seen] = field(default_factory=list)
    replied: list[Seen] = field(default_factory=list)
    closed: list[Seen] = field(default_factory=list)
    reopened: bool = False


def check_clocks(history: History, clock: Clock, forged: Container[str]) -> list[Violation]:
    """Every round of every case; `forged` are subjects that no service has told of."""
    rounds: defaultdict[tuple[str, int], _Round] = defaultdict(_Round)
    for key, seen in sorted(history.events.items(), key=lambda item: item[0].position):
        if key.source == _INQUIRY and key.subject not in forged:
            _add(rounds, key, seen)
    return [
        Violation("clock", f"{subject} in round {cycle}: {wrong}")
        for (subject, cycle), one in rounds.items()
        for wrong in (*_fired_once(one), *_judged_rightly(one, clock), *_closed_rightly(one, clock))
    ]


def _add(rounds: defaultdict[tuple[str, int], _Round], key: Sequenced, seen: Seen) -> None:
    one = rounds[key.subject, seen.data.get("cycle", 1)]
    if seen.type in _BEGINS and (deadline := seen.data.get("deadline")):
        one.due = dt.datetime.fromisoformat(deadline["due"])
    if seen.type == _REOPENED:
        rounds[key.subject, seen.data["cycle"] - 1].reopened = True
    elif seen.type == _WARNED:
        one.warned[seen.data["percent"]] += 1
    elif seen.type == _BREACHED:
        one.breached.append(seen)
    elif seen.type == _WITHDRAWN:
        one.withdrawn.append(seen)
    elif seen.type == _REPLIED:
        one.replied.append(seen)
    elif seen.type == _CLOSED:
        one.closed.append(seen)


def _fired_once(one: _Round) -> Iterator[str]:
    for percent, count in one.warned.items():
        if count > 1:
            yield f"the mark of {percent} % was told {count} times"
    if list(one.warned) != sorted(one.warned):
        yield f"the marks came in the order {list(one.warned)}"
    for what, told in (
        ("breached", one.breached),
        ("withdrawn", one.withdrawn),
        ("replied", one.replied),
        ("closed", one.closed),
    ):
        if len(told) > 1:
            yield f"it is {what} {len(told)} times"


def _judged_rightly(one: _Round, clock: Clock) -> Iterator[str]:
    """The judgement that stands in the end is the truth, and a timer has not judged before its time."""
    stands = len(one.breached) - len(one.withdrawn)
    if one.due is None:
        if one.breached or one.withdrawn:
            yield "it has no deadline to be judged by"
        return
    for breach in one.breached:
        if breach.causation is None and _moment(breach.time) < one.due + clock.grace:
            yield f"it was judged at {breach.time}, due {one.due}"
    if one.replied:
        acted = _moment(one.replied[0].effective)
        in_time = acted <= one.due
        if one.replied[0].data["on_time"] != in_time:
            yield f"a reply of {acted}, due {one.due}, is told to be in time or not, wrongly"
        if stands != (not in_time):
            yield f"replied {acted}, due {one.due}: {stands} judgements stand"
    elif one.withdrawn:
        yield "a judgement was withdrawn without a reply"
    elif not one.breached and one.due + clock.grace <= clock.now:
        yield f"there is no reply, due {one.due}, and no judgement at {clock.now}"


def _closed_rightly(one: _Round, clock: Clock) -> Iterator[str]:
    """Nobody is cut off from evaluating before the window has ended, nor is a case left open after it."""
    if not one.replied:
        return
    until = _moment(one.replied[0].data["evaluate_until"]) + clock.grace
    for closing in one.closed:
        if closing.data["outcome"] == "no_evaluation" and _moment(closing.time) < until:
            yield f"it was closed unevaluated at {closing.time}, before {until}"
    if not one.closed and not one.reopened and until <= clock.now:
        yield f"it is open at {clock.now}, though nobody evaluated it until {until}"


def _moment(text: str | None) -> dt.datetime:
    if text is None:
        raise ValueError("an event that is judged by has no moment")
    return dt.datetime.fromisoformat(text)
