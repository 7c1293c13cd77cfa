"""What routing's facts do to a case: always something or nothing, never a refusal."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from services.inquiry.domain.case import Case, Decision, Step
from services.inquiry.domain.states import HOLDING, RoutingFact
from shared.contracts.base import EventData
from shared.contracts.routing import AssignmentReturned, AssignmentSigned, CaseDispatched, CaseTriaged

Fact = CaseDispatched | CaseTriaged | AssignmentSigned | AssignmentReturned


def absorb(case: Case, fact: Fact) -> Decision:
    """The case with what routing has decided: who leads, who helps, whether it is signed."""
    return _ABSORB[type(fact)](case, fact)


def _dispatched(case: Case, fact: CaseDispatched) -> Decision:
    holding = HOLDING[case.holding, RoutingFact.DISPATCHED]
    after = replace(case, holding=holding, lead=fact.lead, co=fact.co, attempt=fact.attempt)
    step = Step("dispatched", {"lead": fact.lead, "co": list(fact.co), "attempt": fact.attempt})
    return Decision(after, steps=(step,))


def _triaged(case: Case, fact: CaseTriaged) -> Decision:
    holding = HOLDING[case.holding, RoutingFact.TRIAGED]
    # Co-handlers keep their part while the lead is found anew: the next dispatch says who holds the case.
    after = replace(case, holding=holding, lead=None, attempt=fact.attempt)
    return Decision(after, steps=(Step("triaged", {"reason": fact.reason}),))


def _signed(case: Case, fact: AssignmentSigned) -> Decision:
    leads = fact.role == "lead"
    holding = HOLDING[case.holding, RoutingFact.LEAD_SIGNED if leads else RoutingFact.CO_SIGNED]
    after = replace(case, holding=holding, lead=fact.unit if leads else case.lead)
    return Decision(after, steps=(Step("signed", {"unit": fact.unit, "role": fact.role}),))


def _returned(case: Case, fact: AssignmentReturned) -> Decision:
    leads = fact.role == "lead"
    holding = HOLDING[case.holding, RoutingFact.LEAD_RETURNED if leads else RoutingFact.CO_RETURNED]
    helpers = tuple(unit for unit in case.co if unit != fact.unit)
    after = replace(case, holding=holding, lead=None if leads else case.lead, co=helpers)
    step = Step("returned", {"unit": fact.unit, "role": fact.role, "reason": fact.reason})
    return Decision(after, steps=(step,))


# By type and not by `match`: an isinstance check of a pydantic model costs as much as parsing the event.
_ABSORB: Mapping[type[EventData], Callable[[Case, Any], Decision]] = {
    CaseDispatched: _dispatched,
    CaseTriaged: _triaged,
    AssignmentSigned: _signed,
    AssignmentReturned: _returned,
}
