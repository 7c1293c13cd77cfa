"""Checks the clocks of every case: a breach stands if and only if the reply was late, and all fire once.

Pure: it reads a history and nothing else.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.history import History, SeenEvent, Violation

_INQUIRY = "/services/inquiry"
_BEGINS = frozenset(f"civic.inquiry.{name}.v1" for name in ("received", "accepted", "reopened"))
_BREACHED, _WITHDRAWN = "civic.inquiry.deadline_breached.v1", "civic.inquiry.breach_withdrawn.v1"
_WARNED, _REPLIED = "civic.inquiry.deadline_warned.v1", "civic.inquiry.replied.v1"
_CLOSED, _REOPENED = "civic.inquiry.closed.v1", "civic.inquiry.reopened.v1"


class Clock(NamedTuple):
    """Business time when everything was at rest, and how long after its due moment a deadline is judged."""

    now: dt.datetime
    grace: dt.timedelta


@dataclass(slots=True)
class _Round:
    """One reply clock of a case: from acceptance or reopening to the reply."""

    due: dt.datetime | None = None
    warned: Counter[int] = field(default_factory=Counter)
    breached: list[SeenEvent] = field(default_factory=list)
    withdrawn: list[SeenEvent] = field(default_factory=list)
    replied: list[SeenEvent] = field(default_factory=list)
    closed: list[SeenEvent] = field(default_factory=list)
    reopened: bool = False

    def add(self, event: SeenEvent) -> None:
        """Takes the next event of the round."""
        if event.type in _BEGINS and (deadline := event.data.get("deadline")):
            self.due = dt.datetime.fromisoformat(deadline["due"])
        if event.type == _WARNED:
            self.warned[event.data["percent"]] += 1
        events = {
            _BREACHED: self.breached,
            _WITHDRAWN: self.withdrawn,
            _REPLIED: self.replied,
            _CLOSED: self.closed,
        }
        if event.type in events:
            events[event.type].append(event)


def check_clocks(history: History, clock: Clock, forged: Container[str]) -> list[Violation]:
    """What is wrong in any round of any case, apart from the `forged` subjects, which no service made."""
    rounds: defaultdict[tuple[str, int], _Round] = defaultdict(_Round)
    for key, seen in sorted(history.events.items(), key=lambda item: item[0].ordinal):
        if key.source == _INQUIRY and key.subject not in forged:
            rounds[key.subject, seen.data.get("cycle", 1)].add(seen)
            if seen.type == _REOPENED:
                rounds[key.subject, seen.data["cycle"] - 1].reopened = True
    return [
        Violation("clock", f"{subject} in round {cycle}: {wrong}")
        for (subject, cycle), one in rounds.items()
        for wrong in (*_fired_once(one), *_judged_rightly(one, clock), *_closed_rightly(one, clock))
    ]


def _fired_once(one: _Round) -> Iterator[str]:
    for percent, count in one.warned.items():
        if count > 1:
            yield f"the warning at {percent} % fired {count} times"
    if list(one.warned) != sorted(one.warned):
        yield f"the warnings fired in the order {list(one.warned)}"
    for what, events in (
        ("breached", one.breached),
        ("withdrawn", one.withdrawn),
        ("replied", one.replied),
        ("closed", one.closed),
    ):
        if len(events) > 1:
            yield f"it is {what} {len(events)} times"


def _judged_rightly(one: _Round, clock: Clock) -> Iterator[str]:
    """The final judgement matches the reply's time, and no timer judged before the grace period was over."""
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
            yield f"a reply of {acted}, due {one.due}, has the wrong `on_time`"
        if stands != (not in_time):
            yield f"replied {acted}, due {one.due}: {stands} judgements stand"
    elif one.withdrawn:
        yield "a judgement was withdrawn without a reply"
    elif not one.breached and one.due + clock.grace <= clock.now:
        yield f"there is no reply, due {one.due}, and no judgement at {clock.now}"


def _closed_rightly(one: _Round, clock: Clock) -> Iterator[str]:
    """A case is not closed before the time to evaluate it has ended, nor is it left open after that."""
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
        raise ValueError("an event that the check relies on has no time")
    return dt.datetime.fromisoformat(text)
