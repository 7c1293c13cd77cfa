"""A fact taken back from the topic leaves the case as the decision behind it did."""

import datetime as dt
from collections.abc import Callable

import pytest

from services.inquiry.domain.case import Case, CaseDecision
from services.inquiry.domain.concern import Concern
from services.inquiry.domain.new_case import NewCase, begin
from services.inquiry.domain.recall import Fact, recall
from services.inquiry.domain.states import Stage, State
from services.inquiry.domain.timers import evaluation_ends, mark_reached, reply_due
from shared.contracts.inquiry import CaseKind, InquiryWords
from shared.decision import Refusal
from shared.policy.model import Pack
from tests.unit.services.inquiry.conftest import NOW
from tests.unit.services.inquiry.test_lifecycle import COMMANDS

Run = Callable[[Case, Pack], CaseDecision | Refusal]
LATE = NOW + dt.timedelta(days=60)
TIMERS: dict[str, Run] = {
    "mark": lambda case, pack: mark_reached(case, pack, 1, 50),
    "due": lambda case, _: reply_due(case, 1),
    "evaluation ends": lambda case, _: evaluation_ends(case, 1, LATE),
}


def recalled(case: Case, decision: CaseDecision, pack: Pack, at: dt.datetime) -> CaseDecision:
    """The decision's facts, one after the other, and all that they lead to."""
    timers, cancelled, steps = [], [], []
    for event in decision.events:
        text = getattr(event.words, "text", None)
        found = recall(case, Fact(event.data, at, pack.version, text), pack)
        assert found is not None
        case, timers = found.state, [*timers, *found.timers]
        cancelled, steps = [*cancelled, *found.cancelled], [*steps, *found.steps]
    return CaseDecision(case, (), tuple(timers), tuple(cancelled), tuple(steps))


@pytest.mark.parametrize("state", [state for state in State if state is not State.UNKNOWN])
@pytest.mark.parametrize("name", [*COMMANDS, *TIMERS])
def test_recalled_facts_do_what_the_decision_did(
    cases: dict[State, Case], pack: Pack, name: str, state: State
) -> None:
    at = LATE if name == "evaluation ends" else NOW
    decision = (COMMANDS | TIMERS)[name](cases[state], pack)
    if isinstance(decision, Refusal) or not decision.events:
        return
    found = recalled(cases[state], decision, pack, at)
    assert found.state == decision.state
    assert found.steps == decision.steps
    assert found.timers == decision.timers
    assert set(decision.cancelled) <= set(found.cancelled)


@pytest.mark.parametrize("kind", ["help", "complaint", "report"])
def test_a_recalled_intake_begins_as_it_had_begun(pack: Pack, kind: CaseKind) -> None:
    words = InquiryWords(title="路灯不亮", text="第三盏灯。")
    concern = Concern(words, kind, "municipal-street-light", "web")
    beginning = begin(pack, concern, NOW)
    new = NewCase("case", "1", "0" * 64, concern, beginning)
    found = recall(Case("case"), Fact(new.received(), NOW, pack.version, None), pack)
    assert found is not None
    assert found.state.stage is beginning.stage
    assert found.state.clock == beginning.clock
    assert found.state.policy_version == beginning.policy_version
    assert found.timers == ((beginning.timer,) if beginning.timer else ())
    assert (found.state.stage is Stage.RECEIVED) == (beginning.clock is None)
