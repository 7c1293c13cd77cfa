"""What a unit may do with a case: sign (签收), reply (答复), return (退回). One table says when."""

import datetime as dt
from dataclasses import dataclass, replace

from services.routing.domain import dispatch
from services.routing.domain.case_file import Assignment, AssignmentState, CaseFile, Proposal, State
from shared.contracts.inquiry import NoteWords, ReplyWords
from shared.contracts.routing import (
    ActionResult,
    AssignmentReturned,
    AssignmentSigned,
    ReplyAction,
    ReplyProposed,
    ReturnAction,
    Role,
    RoutingRequestRefused,
    SignAction,
)
from shared.decision import Decision, PendingEvent, Refusal

Action = SignAction | ReplyAction | ReturnAction

MOST_REFUSALS = 10
"""Of a unit about a case in a day become events: each is an entry of the public log for good."""
_OPEN: tuple[State, ...] = ("triage", "offered", "held")

ALLOWED: dict[tuple[State, Role, AssignmentState], tuple[str, ...]] = {
    ("offered", "lead", "offered"): ("sign", "return"),
    ("held", "lead", "signed"): ("reply", "return"),
    # Co-handlers (协办) keep their part while a new lead is sought.
    **{(state, "co", "offered"): ("sign", "return") for state in _OPEN},
    **{(state, "co", "signed"): ("return",) for state in _OPEN},
}
"""State of the case, role and state of the assignment -> what the unit may do. All else: nothing."""


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """A unit's request to act. `action` is the unit's own id of it, `by_topic`: it came over Kafka, and the
    unit expects the result on its topic."""

    unit: str
    action: str
    by_topic: bool


def name_of(action: Action) -> str:
    """`sign`, `reply` or `return`: the word in the event type and in the URL."""
    return action.contract.family.rpartition(".")[2]


def allowed(file: CaseFile, unit: str) -> tuple[str, ...]:
    """What the unit may do now."""
    held = file.assignment(unit)
    if held is None or (file.proposal is not None and held.role == "lead"):
        return ()
    return ALLOWED.get((file.state, held.role, held.state), ())


def refusal(file: CaseFile, unit: str, action: str) -> Refusal | None:
    """Why the unit may not do this now; None if it may."""
    may = allowed(file, unit)
    if action in may:
        return None
    return Refusal(file.state, _rule(file, file.assignment(unit), action), may)


def decide(
    file: CaseFile, request: ActionRequest, action: Action, at: dt.datetime
) -> Decision[CaseFile] | Refusal:
    """The file after the action, or why the unit may not do it (`record_refusal` makes that a decision).

    The result of a reply follows when inquiry has answered, all others at once.
    """
    if (refused := refusal(file, request.unit, name_of(action))) is not None:
        return refused
    held = file.assignment(request.unit)
    assert held is not None  # noqa: S101  (nothing is allowed without an assignment)
    if held.role == "lead":
        file = replace(file, reply_refused=None)
    match action:
        case SignAction():
            return _with_result(_sign(file, held, request, at), request)
        case ReplyAction():
            return _reply(file, request, action)
        case ReturnAction():
            return _with_result(_return(file, held, request, action, at), request)


def record_refusal(
    file: CaseFile, request: ActionRequest, refused: Refusal, day: dt.date
) -> Decision[CaseFile]:
    """A refusal changes nothing but the unit's count of the day, and is an event, for the record.
    Beyond `MOST_REFUSALS` it is only counted, and answered.

    The unit must have or have had a part in the case.
    """
    held = file.assignment(request.unit)
    assert held is not None  # noqa: S101  (a unit without part never comes here)
    count = 1 + (held.refusals if held.refused_on == day else 0)
    after = file.with_assignment(replace(held, refused_on=day, refusals=count))
    if count <= MOST_REFUSALS:
        return Decision(after, refusal_events(request, refused))
    return Decision(after, (refused_result(request, refused, stated=False),) if request.by_topic else ())


def refusal_events(request: ActionRequest, refused: Refusal) -> tuple[PendingEvent, ...]:
    """An event for the record and, where the unit expects one, the result on its topic."""
    event = RoutingRequestRefused(
        state=refused.state,
        rule=refused.rule,
        allowed=refused.allowed,
        unit=request.unit,
        action=request.action,
    )
    if not request.by_topic:
        return (PendingEvent(event),)
    return PendingEvent(event), refused_result(request, refused)


def refused_result(request: ActionRequest, refused: Refusal, *, stated: bool = True) -> PendingEvent:
    """The answer on the unit's topic. Not `stated`, nothing of the refusal becomes an event."""
    result = ActionResult(
        action=request.action,
        accepted=False,
        state=refused.state,
        rule=refused.rule,
        allowed=refused.allowed,
        detail=refused.detail,
    )
    return PendingEvent(result, unit=request.unit, stated=stated)


def _with_result(decision: Decision[CaseFile], request: ActionRequest) -> Decision[CaseFile]:
    if not request.by_topic:
        return decision
    result = ActionResult(
        action=request.action,
        accepted=True,
        state=decision.state.state,
        allowed=allowed(decision.state, request.unit),
    )
    return replace(decision, events=(*decision.events, PendingEvent(result, unit=request.unit)))


def _sign(file: CaseFile, held: Assignment, request: ActionRequest, at: dt.datetime) -> Decision[CaseFile]:
    after = file.with_assignment(replace(held, state="signed", signed_at=at))
    if held.role == "lead":
        after = replace(after, dispatch_state="held")
    signed = AssignmentSigned(unit=held.unit, role=held.role, action=request.action, notify=file.notify)
    return Decision(after, (PendingEvent(signed),))


def _reply(file: CaseFile, request: ActionRequest, action: ReplyAction) -> Decision[CaseFile]:
    pending = Proposal(request.unit, request.action, request.by_topic)
    proposed = ReplyProposed(unit=request.unit, outcome=action.outcome, action=request.action)
    return Decision(replace(file, proposal=pending), (PendingEvent(proposed, ReplyWords(text=action.text)),))


def _return(
    file: CaseFile, held: Assignment, request: ActionRequest, action: ReturnAction, at: dt.datetime
) -> Decision[CaseFile]:
    returned = PendingEvent(
        AssignmentReturned(unit=held.unit, role=held.role, reason=action.reason, action=request.action),
        NoteWords(text=action.text),
    )
    ended = replace(held.end("returned", at), reason=action.reason, note=action.text)
    after = file.with_assignment(ended)
    if held.role == "co":
        return Decision(after, (returned,))
    triaged = dispatch.triage(after, "returned", at)
    return replace(triaged, events=(returned, *triaged.events))


def _rule(file: CaseFile, held: Assignment | None, action: str) -> str:
    """The rule that forbids it: the first that applies, from the general to the particular."""
    ended = file.phase in ("replied", "closed", "erased")
    if held is None or not (held.live or ended):
        return "not_assigned"
    if ended:
        return f"case_{file.phase}"
    if file.proposal is not None and held.role == "lead":
        return "reply_pending"
    if action == "reply" and held.role == "co":
        return "not_lead"
    if action == "sign":
        return "signed_already"
    return "sign_first"
