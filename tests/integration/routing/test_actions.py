"""Actions on the units' topics, and their results."""

import dataclasses
import datetime as dt
import json

import pytest

from harness.fixed_clock import FixedClock
from services.routing.commands import Commands, Sender
from services.routing.domain.decisions import MOST_REFUSALS
from shared.contracts.inquiry import (
    InquiryClosed,
    InquiryReopened,
    InquiryReplied,
    InquiryRequestRefused,
    NoteWords,
)
from shared.unit_of_work.idempotency import Request
from tests.integration.routing.conftest import DEADLINE, DUE, NOW, UNKNOWN, World

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


async def test_a_unit_without_part_learns_nothing_and_writes_nothing_into_the_log(world: World) -> None:
    """200 refusals of a stranger went into the permanent log in 3.8 s, and gave it the state of the case."""
    subject = await world.dispatched()
    subjects = (subject, UNKNOWN, "no case at all")
    verbs = {"sign": {}, "reply": {"outcome": "solved", "text": "?"}}
    for number, one in enumerate(subjects):
        for verb, data in verbs.items():
            await world.act("water", one, verb, f"a-{number}-{verb}", **data)
    await world.fire_timers()
    results = await world.emitted("water")
    assert {result.subject for result in results} == {"water"}
    answers = [dict(result.data) for result in results]
    assert sorted(answer.pop("action") for answer in answers) == sorted(
        f"a-{number}-{verb}" for number in range(3) for verb in verbs
    )
    refused = {"accepted": False, "state": "unknown", "rule": "not_assigned", "allowed": []}
    assert answers == [refused] * len(answers)
    # Neither the refusal nor that its answer was delivered becomes an event.
    assert await world.types() == ["case.dispatched"]
    assert await stated_deliveries(world) == [LEAD]
    assert await world.state(subject) == "offered"
    assert await world.database.pool.fetchval("SELECT count(*) FROM case_file") == 1


async def test_a_unit_that_had_a_part_is_refused_on_the_record(world: World) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "return", reason="not_our_area", text="属邻区")
    await world.act(LEAD, subject, "sign", "a-2")
    event = (await world.emitted(about=subject))[-1]
    assert event.type == "civic.routing.request_refused.v1"
    assert event.data == {
        "state": "triage",
        "rule": "not_assigned",
        "allowed": [],
        "unit": LEAD,
        "action": "a-2",
    }
    assert (await world.emitted(LEAD))[-1].subject == subject


async def test_ten_refusals_of_a_unit_about_a_case_in_a_day_are_events_and_all_are_answered(
    world: World,
) -> None:
    subject, other = await signed(world), await world.dispatched()
    await world.act(LEAD, other, "sign", "a-2")
    before = len(await stated_deliveries(world))
    for number in range(14):
        await world.act(LEAD, subject, "sign", f"b-{number}")
    await world.act(LEAD, other, "sign", "c-1")
    types = await world.types(about=subject)
    assert types.count("routing.request_refused") == MOST_REFUSALS
    results = [event for event in await world.emitted(LEAD) if event.data.get("rule") == "signed_already"]
    assert [result.data["action"] for result in results] == [f"b-{number}" for number in range(14)] + ["c-1"]
    assert {result.subject for result in results} == {subject, other}
    assert len(await stated_deliveries(world)) == before + MOST_REFUSALS + 1
    kept = "SELECT refusals FROM assignment WHERE inquiry = $1 AND unit = $2"
    assert await world.database.pool.fetchval(kept, subject, LEAD) == 14
    # A new day in Shanghai; the record's own time says nothing, since the unit chooses it.
    world.database.clock = FixedClock(NOW + dt.timedelta(hours=13, minutes=59))
    await world.act(LEAD, subject, "sign", "d-1")
    assert (await world.types(about=subject)).count("routing.request_refused") == MOST_REFUSALS
    world.database.clock = FixedClock(NOW + dt.timedelta(hours=14))
    await world.act(LEAD, subject, "sign", "d-2")
    assert (await world.types(about=subject)).count("routing.request_refused") == MOST_REFUSALS + 1


async def test_a_new_dispatch_gives_a_unit_no_new_refusals(world: World) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    for number in range(MOST_REFUSALS):
        await world.act("water", subject, "reply", f"b-{number}", outcome="solved", text="?")
    await world.act("yunxi-urban", subject, "return", reason="not_our_area", text="属邻区")
    commands = Commands(world.database, world.packs)
    sender = Sender("person:dispatcher-1", Request("test", "k-1", b""))
    answer = await commands.dispatch(sender, subject, "water", ())
    assert answer.status == 200
    before = len(await world.types(about=subject))
    await world.act("water", subject, "reply", "c-1", outcome="solved", text="?")
    assert len(await world.types(about=subject)) == before
    assert (await world.emitted("water"))[-1].data["rule"] == "sign_first"


async def stated_deliveries(world: World) -> list[str]:
    """The units of the records whose delivery an event will state."""
    rows = await world.database.pool.fetch(
        "SELECT delivery FROM outbox WHERE delivery IS NOT NULL ORDER BY id"
    )
    return [json.loads(row["delivery"])["unit"] for row in rows]


async def test_what_an_action_claims_about_its_sender_is_not_trusted(world: World) -> None:
    subject = await world.dispatched()
    record = await world.act(LEAD, subject, "reply", "a-0", outcome="solved", text="?")
    forged = (record.value or b"").replace(
        b'"source": "/office-automation"',
        b'"source": "/services/inquiry", "sequence": "0000000009", "correlationid": "theirs"',
    )
    await world.actions.process([world.record(record.topic, subject, forged.replace(b"a-0", b"a-9"))])
    event = (await world.emitted(about=subject))[-1]
    assert (event.data["unit"], event.data["rule"], event.correlationid) == (LEAD, "sign_first", subject)
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
