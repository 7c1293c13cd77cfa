"""What a pure decision is: the new state with the events and timers that follow from it, or a refusal."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from shared.contracts.base import EventData, Words
from shared.errors import Conflict

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that is decided and not yet emitted. `unit` is set for a record on that unit's topic."""

    data: EventData
    words: Words | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """Business time: a timer of this `kind` fires at `due`.

    A deadline check finds that something did not happen in time. It fires a grace period after `due`, and
    only once the service has read everything that could show that it did.
    """

    kind: str
    due: dt.datetime
    data: dict[str, Any] = field(default_factory=dict)
    is_deadline_check: bool = False


@dataclass(frozen=True, slots=True)
class Decision(Generic[State]):
    """The aggregate's state after the act, the events in their order, timers to set and kinds to cancel."""

    state: State
    events: tuple[PendingEvent, ...] = ()
    timers: tuple[TimerSpec, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rules forbid the act: the state that the aggregate is in, the rule, and what is allowed instead.

    `detail` says in words what is wrong with the request itself.
    """

    state: str
    rule: str
    allowed: tuple[str, ...] = ()
    detail: str | None = None


class Refused(Conflict):
    """A refusal as an error, for callers that answer it over HTTP."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.rule}: not allowed in state {refusal.state}")
        self.refusal = refusal
