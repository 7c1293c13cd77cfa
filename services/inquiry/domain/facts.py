"""What routing's facts do to a case: always something or nothing, never a refusal."""

from dataclasses import replace

from services.inquiry.domain.case import Case, Decision, Step
from services.inquiry.domain.states import HOLDING, Told
from shared.contracts.routing import AssignmentReturned, AssignmentSigned, CaseDispatched, CaseTriaged

Fact = CaseDispatched | CaseTriaged | AssignmentSigned | AssignmentReturned


def meaning(fact: Fact) -> Told:
    """Which row of the table the fact is."""
    match fact:
        case CaseDispatched():
            return Told.DISPATCHED
        case CaseTriaged():
            return Told.TRIAGED
        case AssignmentSigned():
            return Told.LEAD_SIGNED if fact.role == "lead" else Told.CO_SIGNED
        case AssignmentReturned():
            return Told.LEAD_RETURNED if fact.role == "lead" else Told.CO_RETURNED


def absorb(case: Case, fact: Fact) -> Decision:
    """The case with what routing has decided: who leads, who helps, whether it is signed."""
    told = meaning(fact)
    holding = HOLDING[case.holding, told]
    match fact:
        case CaseDispatched():
            after = replace(case, holding=holding, lead=fact.lead, co=fact.co, attempt=fact.attempt)
            step = Step("dispatched", {"lead": fact.lead, "co": list(fact.co), "attempt": fact.attempt})
        case CaseTriaged():
            after = replace(case, holding=holding, lead=None, co=(), attempt=fact.attempt)
            step = Step("triaged", {"reason": fact.reason})
        case AssignmentSigned():
            lead = fact.unit if told is Told.LEAD_SIGNED else case.lead
            after = replace(case, holding=holding, lead=lead)
            step = Step("signed", {"unit": fact.unit, "role": fact.role})
        case AssignmentReturned():
            lead = None if told is Told.LEAD_RETURNED else case.lead
            co = tuple(unit for unit in case.co if unit != fact.unit)
            after = replace(case, holding=holding, lead=lead, co=co)
            step = Step("returned", {"unit": fact.unit, "role": fact.role, "reason": fact.reason})
    return Decision(after, steps=(step,))
