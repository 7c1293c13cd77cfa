"""What a unit may do with a case: sign (签收), reply (答复), return (退回). One table says when."""

import datetime as dt
from dataclasses import dataclass, replace

from services.routing.domain import dispatch
from services.routing.domain.case_file import (
    Assignment,
    AssignmentState,
    CaseFile,
    Outcome,
    Proposal,
    Said,
    State,
)
from shared.contracts.base import Words
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

Action = SignAction | ReplyAction | ReturnAction

_OPEN: tuple[State, ...] = ("triage", "offered", "held")

ALLOWED: dict[tuple[State, Role, AssignmentState], tuple[str, ...]] = {
    ("offered", "lead", "offered"): ("sign", "return"),
    ("held", "lead", "signed"): ("reply", "return"),
    # Co-handlers (协办) keep their part while the lead is found anew.
    **{(state, "co", "offered"): ("sign", "return") for state in _OPEN},
    **{(state, "co", "signed"): ("return",) for state in _OPEN},
}
"""State of the case, role and state of the assignment -> what the unit may do. All else: nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The unit may not: in which state the case is, by which rule, and what it may do instead.

    `detail`: what is wrong with the action itself, in words.
    """

    state: str
    rule: str
    allowed: tuple[str, ...] = ()
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts: the unit, under which id of the action, and whether it expects the result on its topic."""

    unit: str
    action: str
    by_topic: bool


def name_of(action: Action) -> str:
    """`sign`, `reply` or `return`: the word of the type and of the address."""
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


def decide(file: CaseFile, acting: Acting, action: Action, at: dt.datetime) -> tuple[Outcome, Refusal | None]:
    """The file after the action, and why the unit may not do it, if so: then the file is what it was.

    The result of a reply is told when inquiry has answered, all others at once.
    """
    refused = refusal(file, acting.unit, name_of(action))
    if refused is not None:
        return Outcome(file, refuse(acting, refused)), refused
    held = file.assignment(acting.unit)
    assert held is not None  # noqa: S101  (nothing is allowed without an assignment)
    if held.role == "lead":
        file = replace(file, reply_refused=None)
    match action:
        case SignAction():
            return _with_result(_sign(file, held, acting, at), acting), None
        case ReplyAction():
            return _reply(file, acting, action), None
        case ReturnAction():
            return _with_result(_return(file, held, acting, action, at), acting), None


def refuse(acting: Acting, refused: Refusal) -> tuple[Said, ...]:
    """A refusal as it is said: an event for the record, and the result for the unit's own system."""
    event = RoutingRequestRefused(
        state=refused.state,
        rule=refused.rule,
        allowed=refused.allowed,
        unit=acting.unit,
        action=acting.action,
    )
    result = ActionResult(
        action=acting.action,
        accepted=False,
        state=refused.state,
        rule=refused.rule,
        allowed=refused.allowed,
        detail=refused.detail,
    )
    return (Said(event), *((Said(result, unit=acting.unit),) if acting.by_topic else ()))


def _with_result(outcome: Outcome, acting: Acting) -> Outcome:
    if not acting.by_topic:
        return outcome
    result = ActionResult(
        action=acting.action,
        accepted=True,
        state=outcome.file.state,
        allowed=allowed(outcome.file, acting.unit),
    )
    return Outcome(outcome.file, (*outcome.said, Said(result, unit=acting.unit)))


def _sign(file: CaseFile, held: Assignment, acting: Acting, at: dt.datetime) -> Outcome:
    after = file.with_assignment(replace(held, state="signed", signed_at=at))
    if held.role == "lead":
        after = replace(after, placement="held")
    return Outcome(
        after,
        (Said(AssignmentSigned(unit=held.unit, role=held.role, action=acting.action, notify=file.notify)),),
    )


def _reply(file: CaseFile, acting: Acting, action: ReplyAction) -> Outcome:
    pending = Proposal(acting.unit, acting.action, acting.by_topic)
    words: Words = ReplyWords(text=action.text)
    request = ReplyProposed(unit=acting.unit, outcome=action.outcome, action=acting.action)
    return Outcome(replace(file, proposal=pending), (Said(request, words),))


def _return(
    file: CaseFile, held: Assignment, acting: Acting, action: ReturnAction, at: dt.datetime
) -> Outcome:
    returned = Said(
        AssignmentReturned(unit=held.unit, role=held.role, reason=action.reason, action=acting.action),
        NoteWords(text=action.text),
    )
    ended = replace(held.end("returned", at), reason=action.reason, note=action.text)
    after = file.with_assignment(ended)
    if held.role == "co":
        return Outcome(after, (returned,))
    triaged = dispatch.triage(after, "returned", at)
    return Outcome(triaged.file, (returned, *triaged.said))


def _rule(file: CaseFile, held: Assignment | None, action: str) -> str:
    """The rule that speaks against it: the first that applies, from the general to the particular."""
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
