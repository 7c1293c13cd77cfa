"""What inquiry's events do to a case file.

inquiry has decided already, so an event is never refused: each is absorbed in every state, in some without
effect. What follows from it are records on units' topics, not events about the case.
"""

import datetime as dt
from dataclasses import replace

from services.routing.domain.case_file import Assignment, CaseFile, Phase
from services.routing.domain.decisions import allowed
from shared.contracts.inquiry import (
    InquiryAccepted,
    InquiryClosed,
    InquiryReceived,
    InquiryReopened,
    InquiryRequestRefused,
)
from shared.contracts.routing import ActionResult, CaseClosed, CaseReopened, CaseWithdrawn
from shared.decision import Decision, PendingEvent

# Events may arrive late: a phase never goes back except by a reopening.
_BEFORE_ACCEPTED: frozenset[Phase] = frozenset({"unknown", "received"})
_ENDED: frozenset[Phase] = frozenset({"closed", "erased"})


def received(
    file: CaseFile,
    data: InquiryReceived,
    at: dt.datetime,
    policy_version: str | None,
    jurisdiction: str | None,
) -> Decision[CaseFile]:
    """All that inquiry knows at intake; with a deadline the case is accepted (受理) in the same act."""
    phase = file.phase
    if phase == "unknown":
        phase = "accepted" if data.deadline else "received"
    deadline = data.deadline if file.reply_due is None else None
    after = replace(
        file,
        phase=phase,
        number=data.number,
        kind=data.kind,
        service_code=data.service_code,
        area=data.area,
        visibility=data.visibility,
        urgent=data.urgent,
        hint=data.hint,
        notify=data.has_contact and data.notify,
        received_at=at,
        reply_due=deadline.due if deadline else file.reply_due,
        reply_day_count=deadline.day_count if deadline else file.reply_day_count,
        policy_version=policy_version,
        jurisdiction=jurisdiction,
    )
    return Decision(after)


def accepted(file: CaseFile, data: InquiryAccepted) -> Decision[CaseFile]:
    """A clerk has accepted it (受理)."""
    if file.phase not in _BEFORE_ACCEPTED:
        return Decision(file)
    due, day_count = data.deadline.due, data.deadline.day_count
    return Decision(replace(file, phase="accepted", reply_due=due, reply_day_count=day_count))


def replied(file: CaseFile, request_id: str | None) -> Decision[CaseFile]:
    """The citizen has the reply (答复). `request_id` is the event that it answers, such as a unit's proposal:
    then the unit gets its result."""
    phase: Phase = file.phase if file.phase in _ENDED else "replied"
    return _answered(replace(file, phase=phase, reply_refused=None), request_id, None)


def request_refused(
    file: CaseFile, data: InquiryRequestRefused, request_id: str | None
) -> Decision[CaseFile]:
    """inquiry refuses a proposed reply; refusals of other requests have no effect here."""
    return _answered(file, request_id, data)


def closed(file: CaseFile, data: InquiryClosed, at: dt.datetime) -> Decision[CaseFile]:
    """The case is over (办结): every unit that holds it is done and gets a record."""
    if file.phase == "erased":
        return Decision(file)
    record = CaseClosed(number=file.number or "", outcome=data.outcome, evaluation=data.evaluation)
    after = replace(
        file,
        phase="closed",
        assignments=tuple(one.end("done", at) if one.live else one for one in file.assignments),
    )
    return Decision(after, tuple(PendingEvent(record, unit=one.unit) for one in file.live_assignments()))


def reopened(file: CaseFile, data: InquiryReopened, note: str | None) -> Decision[CaseFile]:
    """重办: units that were done hold the case again, signed or not as before; triage stays triage."""
    if file.phase == "erased":
        return Decision(file)
    after = replace(
        file,
        phase="accepted",
        reply_due=data.deadline.due,
        reply_day_count=data.deadline.day_count,
        cycle=data.cycle,
        reply_refused=None,
        assignments=tuple(one.reinstate() if one.state == "done" else one for one in file.assignments),
    )
    return Decision(after, tuple(_reopening(after, data, note, one) for one in after.live_assignments()))


def _reopening(file: CaseFile, data: InquiryReopened, note: str | None, held: Assignment) -> PendingEvent:
    record = CaseReopened(
        number=file.number or "",
        role=held.role,
        cycle=data.cycle,
        reply_due=data.deadline.due,
        evaluation=data.evaluation,
        note=note,
    )
    return PendingEvent(record, unit=held.unit)


def erased(file: CaseFile, at: dt.datetime) -> Decision[CaseFile]:
    """Personal text goes, and every unit that ever held the case gets a record to delete its copy."""
    if file.phase == "erased":
        return Decision(file)
    record = CaseWithdrawn(number=file.number or "", reason="erased")
    after = replace(
        file,
        phase="erased",
        assignments=tuple(
            replace(one.end("released", at) if one.live else one, note=None) for one in file.assignments
        ),
    )
    return Decision(after, tuple(PendingEvent(record, unit=one.unit) for one in file.assignments))


def _answered(
    file: CaseFile, request_id: str | None, refusal: InquiryRequestRefused | None
) -> Decision[CaseFile]:
    proposal = file.proposal
    if proposal is None or proposal.id != request_id:
        return Decision(file)
    rule = refusal.rule if refusal else None
    after = replace(file, proposal=None, reply_refused=rule)
    if not proposal.by_topic:
        return Decision(after)  # at the desk the rule is shown on the file
    result = ActionResult(
        action=proposal.action,
        accepted=refusal is None,
        # Routing's state and this unit's actions: inquiry has other states and knows no units.
        state=after.state,
        rule=rule,
        allowed=allowed(after, proposal.unit),
    )
    return Decision(after, (PendingEvent(result, unit=proposal.unit),))
