"""Events of routing: dispatch (派单), assignments, deliveries, and the records on the units' topics."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import Code, Digest, EventData, Identifier, Moment, Text, UnitCode, contract
from shared.contracts.common import DeadLetterDiscarded, DeadLetterRecorded, RequestRefused, WaitEnded
from shared.contracts.inquiry import (
    CaseKind,
    Evaluation,
    InquiryWords,
    LongText,
    NoteWords,
    ReplyOutcome,
    ReplyWords,
    Visibility,
)

Role = Literal["lead", "co"]
"""主办, 协办."""
Notify = bool
"""False: inquiry.received asked for no notices. A copy, so that the sender of notices needs no look-up."""
TriageReason = Literal["no_rule", "unknown_service", "returned", "conflict"]


@contract("civic.case.dispatched.v1", writer="routing")
class CaseDispatched(EventData):
    """派单: the lead and the co-handlers, by which rule, and by when the lead signs."""

    lead: UnitCode
    co: tuple[UnitCode, ...] = ()
    rule: Code
    attempt: int
    sign_due: Moment | None = None
    by: Literal["rule", "dispatcher"] = "rule"
    notify: Notify = True


@contract("civic.case.triaged.v1", writer="routing")
class CaseTriaged(EventData):
    """No rule matched: a dispatcher has to assign the case."""

    reason: TriageReason
    hint: UnitCode | None = None
    attempt: int


@contract("civic.assignment.signed.v1", writer="routing")
class AssignmentSigned(EventData):
    """签收: the unit has taken the case on."""

    unit: UnitCode
    role: Role
    action: Code
    notify: Notify = True


@contract("civic.assignment.returned.v1", writer="routing", words=NoteWords)
class AssignmentReturned(EventData):
    """退回: the unit says that it is not theirs. A returned lead puts the case into triage."""

    unit: UnitCode
    role: Role
    reason: Literal["not_our_duty", "not_our_area", "unclear_owner", "overlapping_duty"]
    action: Code


@contract("civic.assignment.reply_proposed.v1", writer="routing", kind="request", words=ReplyWords)
class ReplyProposed(EventData):
    """The lead proposes the answer; inquiry decides with `replied` or `request_refused`."""

    unit: UnitCode
    outcome: ReplyOutcome
    action: Code


class DeliveredRecord(EventData):
    """A record on a unit's topic: where it stands, and the SHA-256 of its bytes."""

    unit: UnitCode
    record: Identifier
    record_type: Code
    topic: Code
    partition: int
    offset: int
    hash: Digest


@contract("civic.delivery.succeeded.v1", writer="routing")
class DeliverySucceeded(DeliveredRecord):
    """A record stands on a unit's topic; `others` are further ones of the case, acknowledged with it."""

    others: tuple[DeliveredRecord, ...] | None = None

    @property
    def records(self) -> tuple[str, ...]:
        """The ids of all records that the event states."""
        return (self.record, *(other.record for other in self.others or ()))


@contract("civic.routing.request_refused.v1", writer="routing")
class RoutingRequestRefused(RequestRefused):
    """A unit's action is against the rules of its case, or no valid action: then the unit is the subject.

    Of a unit about a case at most ten in a day.
    """


@contract("civic.routing.deadletter_recorded.v1", writer="routing")
class RoutingDeadLetter(DeadLetterRecorded):
    """An event could not be applied; its key waits for an operator."""


@contract("civic.routing.deadletter_discarded.v1", writer="routing")
class RoutingDeadLetterDiscarded(DeadLetterDiscarded):
    """An operator gave up a dead letter."""


@contract("civic.routing.wait_ended.v1", writer="routing", words=NoteWords)
class RoutingWaitEnded(WaitEnded):
    """An operator gave up what routing expected about a case."""


# Records for a unit on `civic.department.<code>.v1`. The words are inside, to make them easy to read.


@contract(
    "civic.department.case_offered.v1",
    writer="routing",
    kind="record",
    topic="department",
    redacted_fields=("words",),
)
class CaseOffered(EventData):
    """A case is yours to sign. `words` is absent once the inquiry is erased."""

    number: Text
    role: Role
    lead: UnitCode
    co: tuple[UnitCode, ...] = ()
    kind: CaseKind
    service_code: Code
    area: Code | None = None
    visibility: Visibility
    urgent: bool = False
    reply_due: Moment | None = None
    sign_due: Moment | None = None
    attempt: int
    words: InquiryWords | None = None


@contract("civic.department.case_withdrawn.v1", writer="routing", kind="record", topic="department")
class CaseWithdrawn(EventData):
    """The case is no longer yours: another unit holds it now."""

    number: Text
    reason: Literal["redispatched", "erased"]


@contract("civic.department.case_closed.v1", writer="routing", kind="record", topic="department")
class CaseClosed(EventData):
    """The case you hold is closed, with the citizen's evaluation if there was one."""

    number: Text
    outcome: Text
    evaluation: Evaluation | None = None


@contract(
    "civic.department.case_reopened.v1",
    writer="routing",
    kind="record",
    topic="department",
    redacted_fields=("note",),
)
class CaseReopened(EventData):
    """重办: the citizen is not satisfied; the case is yours again, in your role, with a new deadline."""

    number: Text
    role: Role = "lead"
    cycle: int
    reply_due: Moment
    evaluation: Evaluation | None = None
    note: Annotated[Text, Field(max_length=20_000)] | None = None


@contract("civic.department.action_result.v1", writer="routing", kind="record", topic="department")
class ActionResult(EventData):
    """What became of your action: done, or refused: by which rule, what is allowed now, what is wrong."""

    action: Code
    accepted: bool
    state: Text | None = None
    rule: Text | None = None
    allowed: tuple[Text, ...] = ()
    detail: Text | None = None


# A unit's actions on `civic.department.<code>.actions.v1`, identified by (topic, id).


@contract("civic.action.sign.v1", writer="unit", kind="action", topic="actions")
class SignAction(EventData):
    """签收."""


@contract("civic.action.reply.v1", writer="unit", kind="action", topic="actions", redacted_fields=("text",))
class ReplyAction(EventData):
    """答复, by the lead."""

    outcome: ReplyOutcome
    text: LongText


@contract("civic.action.return.v1", writer="unit", kind="action", topic="actions", redacted_fields=("text",))
class ReturnAction(EventData):
    """退回, with the reason code and words."""

    reason: Literal["not_our_duty", "not_our_area", "unclear_owner", "overlapping_duty"]
    text: LongText
