"""The case file (案卷): what inquiry reported, what routing decided, and which units hold the case."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from shared.contracts.inquiry import CaseKind, Visibility
from shared.contracts.routing import Role, TriageReason

Phase = Literal["unknown", "received", "accepted", "replied", "closed", "erased"]
"""What inquiry has reported. unknown: another event came first and opened the file. erased is final."""
DispatchState = Literal["waiting", "triage", "offered", "held"]
"""What routing has decided. waiting: a part is missing; offered: the lead has not signed; held: it has."""
State = Literal["waiting", "triage", "offered", "held", "replied", "closed", "erased"]
"""What people see: the end that inquiry reported, else the dispatch state."""
AssignmentState = Literal["offered", "signed", "returned", "released", "done"]
"""offered, signed (签收): live. returned (退回): by the unit. released: by routing. done: the case closed."""
DisplayedState = Literal["offered", "signed", "returned", "released", "replied", "done"]
"""An assignment as people see it. replied: it is live, and the case has its reply (答复)."""

LIVE: frozenset[AssignmentState] = frozenset({"offered", "signed"})
_ENDS: dict[Phase, State] = {"replied": "replied", "closed": "closed", "erased": "erased"}


def displayed_state(assignment: AssignmentState, case: State) -> DisplayedState:
    """How an assignment is shown in a case of this state: after the reply no unit has anything left to do."""
    return "replied" if case == "replied" and assignment in LIVE else assignment


@dataclass(frozen=True, slots=True)
class Assignment:
    """A unit's part in a case: lead (主办) or co-handler (协办).

    `attempt` numbers the dispatch that made it. `reason` and `note` say why the unit returned it; the note is
    personal text and is deleted by an erasure. `refusals` counts what the unit was refused on the day
    `refused_on`.
    """

    unit: str
    role: Role
    state: AssignmentState
    attempt: int
    offered_at: dt.datetime
    signed_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    reason: str | None = None
    note: str | None = None
    refused_on: dt.date | None = None
    refusals: int = 0

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def end(self, state: AssignmentState, at: dt.datetime) -> "Assignment":
        return replace(self, state=state, ended_at=at)

    def reinstate(self) -> "Assignment":
        """Live once more, signed or not as it was before it ended."""
        return replace(self, state="signed" if self.signed_at else "offered", ended_at=None)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A reply (答复) that waits for inquiry's answer.

    `action` is the unit's id of the action; `by_topic`: the unit expects the result on its topic. `id` is the
    id of the request event, empty until it is emitted.
    """

    unit: str
    action: str
    by_topic: bool
    id: str = ""


@dataclass(slots=True)
class CaseFile:
    """One case as routing knows it; a part that has not arrived yet is None.

    Treat it as immutable. It is not frozen, since constructing a frozen dataclass takes three times as long.

    `reply_refused`: the rule by which inquiry refused the last reply, until the lead acts again.
    """

    id: str
    phase: Phase = "unknown"
    number: str | None = None
    kind: CaseKind | None = None
    service_code: str | None = None
    area: str | None = None
    visibility: Visibility | None = None
    urgent: bool = False
    hint: str | None = None
    notify: bool = True
    received_at: dt.datetime | None = None
    reply_due: dt.datetime | None = None
    reply_day_count: str | None = None
    cycle: int = 1
    policy_version: str | None = None
    jurisdiction: str | None = None
    dispatch_state: DispatchState = "waiting"
    attempt: int = 0
    lead: str | None = None
    rule: str | None = None
    triage_reason: TriageReason | None = None
    triaged_at: dt.datetime | None = None
    sign_due: dt.datetime | None = None
    proposal: Proposal | None = None
    reply_refused: str | None = None
    assignments: tuple[Assignment, ...] = ()

    @property
    def state(self) -> State:
        return _ENDS.get(self.phase, self.dispatch_state)

    @property
    def ready(self) -> bool:
        """Whether the catalogue can dispatch it: accepted, complete, and not dispatched before."""
        return (
            self.dispatch_state == "waiting"
            and self.phase == "accepted"
            and self.number is not None
            and self.reply_due is not None
        )

    def assignment(self, unit: str) -> Assignment | None:
        return next((one for one in self.assignments if one.unit == unit), None)

    def with_assignment(self, changed: Assignment) -> "CaseFile":
        """The file with this assignment in place of the unit's former one."""
        others = tuple(one for one in self.assignments if one.unit != changed.unit)
        return replace(self, assignments=(*others, changed))

    def live_assignments(self) -> Iterator[Assignment]:
        return (one for one in self.assignments if one.live)
