"""A case as the rules see it, and what a decision about it consists of."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.states import RULES, STATE, Command, Holding, Stage, State
from shared.contracts.inquiry import CaseKind
from shared.decision import Decision, Refusal


@dataclass(frozen=True, slots=True)
class Case:
    """The parts of a case that rules read. `cycle` counts from 1; each rework (重办) adds one.

    `lead` (主办) and `co` (协办) are codes of units. `attempt` counts the dispatches.
    """

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
        """Whether the unit leads the case or helps with it now. No unit holds a closed case."""
        return self.stage in (Stage.ACCEPTED, Stage.REPLIED) and (unit == self.lead or unit in self.co)


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One line for the timeline: `data` holds codes and times, `words` the text of a person (erasable)."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    words: str | None = None


@dataclass(frozen=True, slots=True)
class CaseDecision(Decision[Case]):
    """A decision about a case, with its `steps` for the timeline. Without events the case is not stored."""

    steps: tuple[TimelineStep, ...] = ()


def refuse(case: Case, rule: str) -> Refusal:
    """A refusal by `rule`, which names more than the state. What is allowed instead depends on the caller."""
    return Refusal(case.state, rule)


def refused_by_state(case: Case, command: Command) -> Refusal | None:
    """The refusal if the case's state does not allow `command`."""
    rule = RULES[command]
    return None if case.state in rule.states else refuse(case, rule.name)
