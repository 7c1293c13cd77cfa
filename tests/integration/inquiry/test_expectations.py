"""What inquiry waits for from routing, until it comes or the case is erased."""

import pytest

from shared.contracts.routing import AssignmentSigned, CaseDispatched, CaseTriaged
from shared.ids import new_id
from tests.integration.inquiry.conftest import API, START, Running

pytestmark = pytest.mark.integration
TRIAGED = CaseTriaged(reason="no_rule", attempt=0)
DISPATCHED = CaseDispatched(
    lead="water", co=(), rule="cn-1", attempt=1, sign_due=START, by="rule", notify=False
)


async def expected(running: Running, inquiry: str) -> list[str]:
    rows = await running.database.pool.fetch("SELECT kind FROM expectation WHERE subject = $1", inquiry)
    return [row["kind"] for row in rows]


@pytest.mark.parametrize("fact", [DISPATCHED, TRIAGED], ids=["dispatched", "triaged"])
async def test_an_accepted_case_waits_for_routing(
    running: Running, fact: CaseDispatched | CaseTriaged
) -> None:
    taken = await running.take_in()
    assert await expected(running, taken["id"]) == ["dispatch"]
    await running.apply(taken["id"], fact)
    assert await expected(running, taken["id"]) == []


async def test_a_case_that_waits_for_a_clerk_waits_for_routing_when_it_is_accepted(running: Running) -> None:
    taken = await running.take_in(kind="report")
    assert await expected(running, taken["id"]) == []
    running.sign_in("clerk")
    answer = await running.post(f"{API}/{taken['id']}/accept", {})
    assert answer.status_code == 200, answer.text
    assert await expected(running, taken["id"]) == ["dispatch"]


async def test_a_case_that_was_dispatched_before_its_acceptance_waits_for_nothing(running: Running) -> None:
    taken = await running.take_in(kind="report")
    await running.apply(taken["id"], DISPATCHED)
    running.sign_in("clerk")
    await running.post(f"{API}/{taken['id']}/accept", {})
    assert await expected(running, taken["id"]) == []


async def test_an_erased_case_waits_for_nothing(running: Running) -> None:
    taken = await running.take_in()
    answer = await running.post(f"{API}/{taken['number']}/erasure", {}, secret=taken["secret"])
    assert answer.status_code == 200, answer.text
    assert await expected(running, taken["id"]) == []


async def test_a_case_that_routing_knows_and_inquiry_does_not_waits_for_its_beginning(
    running: Running,
) -> None:
    inquiry = new_id(START)
    await running.apply(inquiry, AssignmentSigned(unit="water", role="lead", action="a-1"))
    assert await expected(running, inquiry) == ["intake"]
