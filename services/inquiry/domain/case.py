"""A case as the rules see it, and what a decision about it consists of."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Literal

from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.states import RULES, STATE, Command, Holding, Stage, State
from shared.contracts.base import EventData, Words
from shared.contracts.inquiry import CaseKind


@dataclass(frozen=True, slots=True)
class Case:
    """The case's parts that decide. `cycle` counts from 1; each rework (重办) adds one."""

    id: str
    stage: Stage = Stage.UNKNOWN
    kind: CaseKind | None = None
    service_code: str | None = None
    urgent: bool = False
    cycle: int = 1
    policy_version: str | None = None
    clock: ReplyClock | None = None
    breached: bool = False
    evaluate_until: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    erased_at: dt.datetime | None = None
    holding: Holding = Holding.NONE
    lead: str | None = None
    co: tuple[str, ...] = ()
    attempt: int = 0

    @property
    def state(self) -> State:
        return STATE[self.stage, self.holding]

    def held_by(self, unit: str) -> bool:
        """Whether the unit leads the case or helps with it now; what is closed nobody holds any more."""
        return self.stage in (Stage.ACCEPTED, Stage.REPLIED) and (unit == self.lead or unit in self.co)


@dataclass(frozen=True, slots=True)
class Said:
    """An event to be emitted about the case."""

    facts: EventData
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline: `data` are facts, `words` what somebody wrote (erasable)."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    words: str | None = None


TimerKind = Literal["reply_mark", "reply_due", "evaluation_ends"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A timer to be armed. One that judges waits a grace period for what was in time."""

    kind: TimerKind
    due: dt.datetime
    data: dict[str, Any]
    is_deadline_check: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The case afterwards and all that follows; nothing said means that nothing is to be done."""

    case: Case
    said: tuple[Said, ...] = ()
    steps: tuple[Step, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    silenced: tuple[TimerKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: the state, and the rule that forbids it. What is allowed depends on who asks."""

    state: State
    rule: str


def refuse(case: Case, rule: str) -> Refusal:
    """A refusal by `rule`, which names more than the state."""
    return Refusal(case.state, rule)


def refused_by_state(case: Case, command: Command) -> Refusal | None:
    """The refusal if the case's state does not take `command`."""
    rule = RULES[command]
    return None if case.state in rule.states else refuse(case, rule.name)
