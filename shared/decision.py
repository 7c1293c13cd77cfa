"""The result of a pure decision: a new state with the events and timers that follow from it, or a refusal."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from shared.contracts.base import EventData, Words
from shared.errors import Conflict

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that is decided and not yet emitted.

    `unit` is set for a record on that unit's topic; without `stated` no event says that it was delivered.
    """

    data: EventData
    words: Words | None = None
    unit: str | None = None
    stated: bool = True


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """A timer of this `kind` fires at `due`, in business time.

    A deadline check finds out that something did not happen in time. It fires a grace period after `due`, and
    only when the service has applied every event from before that moment.
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
    """The rules forbid the act: the aggregate's state, the rule, and the acts that are allowed instead.

    `detail` describes a fault of the request itself.
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
