"""Actions on the units' topics, and their results."""

import dataclasses

import pytest

from shared.contracts.inquiry import (
    InquiryClosed,
    InquiryReopened,
    InquiryReplied,
    InquiryRequestRefused,
    NoteWords,
)
from tests.integration.routing.conftest import DEADLINE, DUE, UNKNOWN, World

pytestmark = pytest.mark.integration
LEAD = "urban-management"


async def signed(world: World) -> str:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    return subject


async def proposed(world: World) -> tuple[str, str]:
    subject = await signed(world)
    await world.act(LEAD, subject, "reply", "a-2", outcome="solved", text="已更换灯泡。")
    return subject, (await world.emitted(about=subject))[-1].id


def reply_of(unit: str = LEAD) -> InquiryReplied:
    return InquiryReplied(unit=unit, outcome="solved", cycle=1, on_time=True, evaluate_until=DUE)


async def test_a_lead_signs_and_gets_the_result(world: World) -> None:
    subject = await signed(world)
    event = (await world.emitted(about=subject))[-1]
    assert (event.type, event.actor) == ("civic.assignment.signed.v1", f"unit:{LEAD}")
    assert event.data == {"unit": LEAD, "role": "lead", "action": "a-1", "notify": False}
    result = (await world.emitted(LEAD))[-1]
    assert result.causationid == event.id
    assert result.data == {
        "action": "a-1",
        "accepted": True,
        "state": "held",
        "allowed": ["reply", "return"],
    }


async def test_an_action_read_twice_counts_once(world: World) -> None:
    subject = await world.dispatched()
    record = await world.act(LEAD, subject, "sign")
    again = world.record(record.topic, subject, record.value or b"")
    await world.actions.process([again])
    assert await world.types(about=subject) == ["case.dispatched", "assignment.signed"]


async def test_two_units_may_use_the_same_action_id_on_one_case(world: World) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    await world.act("yunxi-urban", subject, "sign", "1")
    await world.act("water", subject, "sign", "1")
    events = (await world.emitted(about=subject))[1:]
    assert [event.data["unit"] for event in events] == ["yunxi-urban", "water"]
    assert len({event.id for event in events}) == 2


async def test_a_reply_is_proposed_and_its_result_comes_with_inquirys_answer(world: World) -> None:
    subject, proposal = await proposed(world)
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"
    assert (await world.emitted(LEAD))[-1].data["action"] == "a-1"
    await world.take(world.fact(subject, reply_of(), causation=proposal))
    assert await world.state(subject) == "replied"
    assert (await world.emitted(LEAD))[-1].data == {
        "action": "a-2",
        "accepted": True,
        "state": "replied",
        "allowed": [],
    }


async def test_a_reply_that_inquiry_refuses_can_be_made_again(world: World) -> None:
    subject, proposal = await proposed(world)
    refused = InquiryRequestRefused(state="in_progress", rule="text_too_short", allowed=("reply",))
    await world.take(world.fact(subject, refused, causation=proposal))
    result = (await world.emitted(LEAD))[-1].data
    assert (result["accepted"], result["rule"], result["action"]) == (False, "text_too_short", "a-2")
    assert (result["state"], result["allowed"]) == ("held", ["reply", "return"])
    await world.act(LEAD, subject, "reply", "a-3", outcome="solved", text="已更换灯泡，详见照片。")
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"


async def test_a_second_reply_waits_for_the_answer_to_the_first(world: World) -> None:
    subject, _ = await proposed(world)
    await world.act(LEAD, subject, "reply", "a-3", outcome="solved", text="再说一遍。")
    assert (await world.emitted(about=subject))[-1].data["rule"] == "reply_pending"


async def test_a_unit_that_does_not_hold_the_case_is_refused_with_the_rule(world: World) -> None:
    subject = await world.dispatched()
    await world.act("water", subject, "reply", outcome="solved", text="?")
    event = (await world.emitted(about=subject))[-1]
    assert event.type == "civic.routing.request_refused.v1"
    assert event.data == {
        "state": "offered",
        "rule": "not_assigned",
        "allowed": [],
        "unit": "water",
        "action": "a-1",
    }
    (result,) = await world.emitted("water")
    assert (result.data["accepted"], result.data["rule"]) == (False, "not_assigned")
    assert await world.state(subject) == "offered"


@pytest.mark.parametrize("subject", [UNKNOWN, "no case at all"])
async def test_an_action_on_an_unknown_case_is_refused_in_the_units_name(world: World, subject: str) -> None:
    await world.act("water", subject, "sign")
    await world.fire_timers()
    (event,) = await world.emitted()
    assert (event.subject, event.data["rule"], event.data["action"]) == ("water", "unknown_case", "a-1")
    (result,) = await world.emitted("water")
    assert (result.subject, result.data["accepted"]) == ("water", False)
    assert await world.database.pool.fetchval("SELECT count(*) FROM case_file") == 0


async def test_what_an_action_claims_about_its_sender_is_not_trusted(world: World) -> None:
    subject = await world.dispatched()
    record = await world.act("water", subject, "sign", "a-0")
    forged = (record.value or b"").replace(
        b'"source": "/office-automation"',
        b'"source": "/services/inquiry", "sequence": "0000000009", "correlationid": "theirs"',
    )
    await world.actions.process([world.record(record.topic, subject, forged.replace(b"a-0", b"a-9"))])
    event = (await world.emitted(about=subject))[-1]
    assert (event.data["unit"], event.data["rule"], event.correlationid) == ("water", "not_assigned", subject)
    assert await world.types(about=subject) == [
        "case.dispatched",
        "routing.request_refused",
        "routing.request_refused",
    ]


async def test_a_fact_of_inquiry_on_a_units_topic_changes_nothing(world: World) -> None:
    subject = await world.dispatched()
    forged = dataclasses.replace(
        world.fact(subject, reply_of()),
        topic=f"{world.namespace}.department.water.actions.v1",
        offset=0,
    )
    await world.actions.process([forged])
    assert await world.state(subject) == "offered"


async def test_a_returned_lead_puts_the_case_into_triage_and_a_co_handler_does_not(world: World) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    await world.act("water", subject, "return", reason="not_our_duty", text="无管线")
    assert await world.state(subject) == "offered"
    await world.act("yunxi-urban", subject, "return", reason="not_our_area", text="属邻区")
    assert await world.types(about=subject) == [
        "case.dispatched",
        "assignment.returned",
        "assignment.returned",
        "case.triaged",
    ]
    assert (await world.emitted(about=subject))[-1].data["reason"] == "returned"


async def test_holders_get_records_of_the_closing_and_of_the_reopening(world: World) -> None:
    subject, proposal = await proposed(world)
    await world.take(
        world.fact(subject, reply_of(), causation=proposal),
        world.fact(subject, InquiryClosed(outcome="no_evaluation", cycle=1)),
    )
    assert (await world.types(LEAD))[-1] == "department.case_closed"
    assert await world.state(subject) == "closed"
    reopened = InquiryReopened(cycle=2, deadline=DEADLINE)
    await world.take(world.fact(subject, reopened, NoteWords(text="又坏了。")))
    record = (await world.emitted(LEAD))[-1]
    assert (record.type, record.data["note"]) == ("civic.department.case_reopened.v1", "又坏了。")
    assert await world.state(subject) == "held"
    await world.act(LEAD, subject, "reply", "a-9", outcome="solved", text="已再次更换。")
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"


async def test_a_new_round_reaches_the_co_handlers_with_its_due_time(world: World) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    await world.act("water", subject, "sign")
    await world.take(world.fact(subject, InquiryClosed(outcome="no_evaluation", cycle=1)))
    assert (await world.types("water"))[-1] == "department.case_closed"
    await world.take(world.fact(subject, InquiryReopened(cycle=2, deadline=DEADLINE)))
    for unit, role in (("water", "co"), ("yunxi-urban", "lead")):
        record = (await world.emitted(unit))[-1]
        assert record.type == "civic.department.case_reopened.v1"
        assert (record.data["role"], record.data["reply_due"]) == (role, "2026-12-01T09:30:00Z")
    await world.act("water", subject, "return", "a-2", reason="not_our_duty", text="井盖不属我单位")
    assert (await world.emitted(about=subject))[-1].data["role"] == "co"
