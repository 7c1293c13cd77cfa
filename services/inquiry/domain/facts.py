"""What the events of routing do to a case. They are facts: applied in every state, never refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from services.inquiry.domain.case import Case, CaseDecision, TimelineStep
from services.inquiry.domain.states import HOLDING, RoutingFact
from shared.contracts.base import EventData
from shared.contracts.routing import AssignmentReturned, AssignmentSigned, CaseDispatched, CaseTriaged

Fact = CaseDispatched | CaseTriaged | AssignmentSigned | AssignmentReturned


def absorb(case: Case, fact: Fact) -> CaseDecision:
    """The case after what routing has decided: the lead, the co-handlers, and whether the lead has signed.

    The decision has no events and no timers, only a step.
    """
    return _ABSORB[type(fact)](case, fact)


def _dispatched(case: Case, fact: CaseDispatched) -> CaseDecision:
    holding = HOLDING[case.holding, RoutingFact.DISPATCHED]
    after = replace(case, holding=holding, lead=fact.lead, co=fact.co, attempt=fact.attempt)
    step = TimelineStep("dispatched", {"lead": fact.lead, "co": list(fact.co), "attempt": fact.attempt})
    return CaseDecision(after, steps=(step,))


def _triaged(case: Case, fact: CaseTriaged) -> CaseDecision:
    holding = HOLDING[case.holding, RoutingFact.TRIAGED]
    # Co-handlers keep their part while another lead is sought: the next dispatch names all holders.
    after = replace(case, holding=holding, lead=None, attempt=fact.attempt)
    return CaseDecision(after, steps=(TimelineStep("triaged", {"reason": fact.reason}),))


def _signed(case: Case, fact: AssignmentSigned) -> CaseDecision:
    leads = fact.role == "lead"
    holding = HOLDING[case.holding, RoutingFact.LEAD_SIGNED if leads else RoutingFact.CO_SIGNED]
    after = replace(case, holding=holding, lead=fact.unit if leads else case.lead)
    return CaseDecision(after, steps=(TimelineStep("signed", {"unit": fact.unit, "role": fact.role}),))


def _returned(case: Case, fact: AssignmentReturned) -> CaseDecision:
    leads = fact.role == "lead"
    holding = HOLDING[case.holding, RoutingFact.LEAD_RETURNED if leads else RoutingFact.CO_RETURNED]
    co = tuple(unit for unit in case.co if unit != fact.unit)
    after = replace(case, holding=holding, lead=None if leads else case.lead, co=co)
    step = TimelineStep("returned", {"unit": fact.unit, "role": fact.role, "reason": fact.reason})
    return CaseDecision(after, steps=(step,))


# By type and not by `match`: an isinstance check of a pydantic model costs as much as parsing the event.
_ABSORB: Mapping[type[EventData], Callable[[Case, Any], CaseDecision]] = {
    CaseDispatched: _dispatched,
    CaseTriaged: _triaged,
    AssignmentSigned: _signed,
    AssignmentReturned: _returned,
}
