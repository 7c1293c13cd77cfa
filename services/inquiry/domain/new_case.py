"""How a concern (诉求) becomes a case: its first stage and clock, and the event of the intake."""

import datetime as dt
from dataclasses import dataclass

from services.inquiry.domain.case import Case
from services.inquiry.domain.clock import ReplyClock, first_clock
from services.inquiry.domain.concern import Concern
from services.inquiry.domain.decisions import clock_timer
from services.inquiry.domain.states import Stage
from shared.contracts.inquiry import Deadline, InquiryReceived
from shared.decision import TimerSpec
from shared.policy.model import Pack


@dataclass(frozen=True, slots=True)
class Beginning:
    """The stage in which a case begins; if accepted by rule, also its clock and timer.

    `deadline` is the clock as events give it.
    """

    stage: Stage
    policy_version: str | None = None
    clock: ReplyClock | None = None
    deadline: Deadline | None = None
    timer: TimerSpec | None = None


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case at its intake. `secret_hash` is compared with what a citizen shows later."""

    id: str
    number: str
    secret_hash: str
    concern: Concern
    beginning: Beginning

    def received(self) -> InquiryReceived:
        """The data of the event of the intake; the words go beside it."""
        concern = self.concern
        return InquiryReceived(
            number=self.number,
            kind=concern.kind,
            service_code=concern.service_code,
            area=concern.area,
            visibility=concern.visibility,
            channel=concern.channel,
            urgent=concern.urgent,
            secret_hash=self.secret_hash,
            has_contact=concern.contact is not None,
            deadline=self.beginning.deadline,
            external_source=concern.external_source,
            external_id=concern.external_id,
            original_time=concern.original_time,
            hint=concern.hint,
            notify=concern.notify,
        )


def begin(pack: Pack, concern: Concern, now: dt.datetime) -> Beginning:
    """How the case of a concern without flaws begins: accepted by rule, or waiting for a clerk.

    It depends on kind, service and urgency alone. Raises CalendarRange for a deadline beyond the calendar.
    """
    if pack.kind(concern.kind).acceptance == "clerk":
        return Beginning(Stage.RECEIVED)
    clock = first_clock(pack, concern.kind, concern.service_code, concern.urgent, now)
    case = Case("", Stage.ACCEPTED, concern.kind, concern.service_code, concern.urgent, clock=clock)
    timer = clock_timer(case, pack, after=0)
    return Beginning(Stage.ACCEPTED, pack.version, clock, clock.stated(pack), timer)
