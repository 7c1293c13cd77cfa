"""From what inquiry tells to what stands on the units' topics, on a real PostgreSQL."""

import pytest

from shared.contracts.inquiry import InquiryAccepted
from shared.ids import new_id

from .conftest import DEADLINE, NOW, WORDS, World

pytestmark = pytest.mark.integration


async def test_an_accepted_case_is_dispatched_by_the_catalogue_with_its_words(world: World) -> None:
    subject = await world.dispatched()
    dispatched = (await world.said())[0]
    offered = (await world.said("urban-management"))[0]
    assert await world.state(subject) == "offered"
    assert dispatched.type == "civic.case.dispatched.v1"
    assert dispatched.data["lead"] == "urban-management"
    assert dispatched.data["rule"] == "cn-municipal-street-light"
    assert dispatched.policyversion == world.policies.current.pack.version
    assert offered.type == "civic.department.case_offered.v1"
    assert offered.causationid == dispatched.id
    assert offered.source == "/services/routing/departments/urban-management"
    assert offered.data["words"] == WORDS.model_dump(exclude_none=True)
    assert offered.data["sign_due"] == dispatched.data["sign_due"] == "2026-11-25T09:30:00Z"


async def test_a_case_that_waits_for_a_clerk_is_dispatched_when_it_is_accepted(world: World) -> None:
    subject = new_id(NOW)
    await world.take(world.received(subject, deadline=None))
    assert (await world.state(subject), await world.types()) == ("waiting", [])
    await world.take(world.fact(subject, InquiryAccepted(deadline=DEADLINE)))
    assert await world.state(subject) == "offered"
    assert (await world.said("urban-management"))[0].data["words"]["text"] == WORDS.text
