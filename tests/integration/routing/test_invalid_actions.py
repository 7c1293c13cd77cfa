"""Records of units that are no valid action: the unit gets the reason, and nothing waits behind them."""

from typing import Any

import pytest

from services.routing.domain.decisions import MOST_REFUSALS
from shared.contracts.base import Event
from shared.ids import new_id
from shared.inbox.floods import PartitionPaused
from tests.integration.routing.conftest import NOW, World

pytestmark = pytest.mark.integration
LEAD = "urban-management"
REPLY = {"outcome": "solved", "text": "已更换灯泡。"}


async def results(world: World) -> list[Event[Any]]:
    """The results on the lead's topic, after the timers have fired."""
    await world.fire_timers()
    return [event for event in await world.emitted(LEAD) if event.type == "civic.department.action_result.v1"]


async def kept(world: World) -> dict[str, int]:
    """How many events are dead letters, and how many keys are parked."""
    pool = world.database.pool
    return {
        table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in ("dead_letter", "parked_key")
    }


async def subject_of(world: World) -> str:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign", "a-0")
    return subject


@pytest.mark.parametrize(
    ("change", "rule", "wrong"),
    [
        ({"data": {"text": "好"}}, "malformed", "data.outcome: Field required"),
        ({"data": {"outcome": "done", "text": "好"}}, "malformed", "data.outcome: Input should be"),
        ({"data": REPLY | {"text": "好" * 20_001}}, "malformed", "data.text: Value should have at most"),
        ({"data": None}, "malformed", "data: Input should be"),
        ({"subject": None}, "malformed", "subject: Input should be"),
        ({"subject": ["a"]}, "malformed", "subject: Input should be"),
        ({"time": "yesterday"}, "malformed", "time: Input should be"),
        ({"specversion": "0.3"}, "malformed", "specversion: Input should be"),
        ({"type": None}, "malformed", "no `type`"),
        ({"type": "civic.action.extend.v1"}, "unknown_type", "civic.action.sign.v1"),
        ({"type": "civic.inquiry.replied.v1"}, "unknown_type", "type: must be one of"),
        ({"type": "civic.inquiry.replied.v2"}, "unknown_type", "type: must be one of"),
        ({"type": "\x00" * 300}, "unknown_type", "type: must be one of"),
    ],
)
async def test_the_unit_learns_which_field_is_wrong(
    world: World, change: dict[str, Any], rule: str, wrong: str
) -> None:
    subject = await subject_of(world)
    await world.send(LEAD, world.action(subject, "reply", "a-1", **REPLY) | change)
    result = (await results(world))[-1]
    assert wrong in result.data.pop("detail")
    assert result.data == {
        "action": "a-1",
        "accepted": False,
        "state": "unknown",
        "rule": rule,
        "allowed": [],
    }
    event = (await world.emitted())[-1]
    assert (event.type, event.subject, event.actor) == (
        "civic.routing.request_refused.v1",
        LEAD,
        f"unit:{LEAD}",
    )
    assert (event.data["rule"], event.data["action"], result.causationid) == (rule, "a-1", event.id)
    assert await kept(world) == {"dead_letter": 0, "parked_key": 0}
    await world.act(LEAD, subject, "reply", "a-2", **REPLY)
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"


async def test_every_field_that_is_wrong_is_named(world: World) -> None:
    await world.send(LEAD, world.action(await subject_of(world), "reply") | {"time": "yesterday"})
    detail = (await results(world))[-1].data["detail"]
    assert all(field in detail for field in ("time:", "data.outcome:", "data.text:"))


async def test_what_people_wrote_does_not_stand_in_the_answer(world: World) -> None:
    words = {"outcome": "王家的事", "text": ["王家的事"]}
    await world.send(LEAD, world.action(await subject_of(world), "reply", **words))
    assert "王家" not in str((await results(world))[-1].data)


async def test_the_same_malformed_action_is_answered_once_however_often_it_comes(world: World) -> None:
    wrong = world.action(await subject_of(world), "reply")
    record = await world.send(LEAD, wrong, wrong)
    await world.actions.process([record])
    await world.send(LEAD, wrong)
    assert [result.data["action"] for result in await results(world)] == ["a-0", "a-1"]


async def test_a_malformed_action_does_not_use_up_its_id(world: World) -> None:
    subject = await subject_of(world)
    wrong = world.action(subject, "reply")
    half = world.action(subject, "reply", text="已更换灯泡。")
    await world.send(LEAD, wrong, half, world.action(subject, "reply", **REPLY), wrong)
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"
    answers = [(result.data["action"], result.data.get("rule")) for result in await results(world)]
    assert answers == [("a-0", None), ("a-1", "malformed"), ("a-1", "malformed")]


async def test_an_action_that_counted_counts_whatever_comes_under_its_id(world: World) -> None:
    subject = await subject_of(world)
    await world.act(LEAD, subject, "reply", "a-1", **REPLY)
    await world.send(LEAD, world.action(subject, "reply"))
    assert (await results(world))[-1].data["rule"] == "malformed"
    assert (await world.types(about=subject))[-1] == "assignment.reply_proposed"


@pytest.mark.parametrize("value", [b"\xff\xfe", b"[1]", b'{"type": "civic.action.sign.v1"}'])
async def test_bytes_without_an_id_are_kept_for_an_operator(world: World, value: bytes) -> None:
    await world.send(LEAD, value)
    assert await results(world) == []
    assert (await kept(world))["dead_letter"] == 1


@pytest.mark.parametrize("identifier", ["", 7, None, "x" * 201, "a\x00b"])
async def test_an_action_without_a_usable_id_cannot_be_answered(world: World, identifier: object) -> None:
    await world.send(LEAD, world.action("c", "sign") | {"id": identifier})
    assert await results(world) == []
    assert (await kept(world))["dead_letter"] == 1


async def test_a_newer_version_of_an_action_waits_for_an_upgrade(world: World) -> None:
    subject = await subject_of(world)
    await world.send(LEAD, world.action(subject, "reply") | {"type": "civic.action.reply.v2"})
    assert len(await results(world)) == 1
    assert await kept(world) == {"dead_letter": 0, "parked_key": 1}


async def test_a_unit_without_topics_has_the_refusal_on_the_record(world: World) -> None:
    await world.send("nobody", world.action("c", "reply"))
    await world.fire_timers()
    (event,) = await world.emitted()
    assert (event.subject, event.data["rule"]) == ("nobody", "malformed")
    assert await world.emitted("nobody") == []


@pytest.mark.parametrize("kind", ["unknown case", "malformed", "refused by the case"])
async def test_what_a_unit_can_write_into_the_public_log_in_a_minute_is_bounded(
    world: World, kind: str
) -> None:
    """Each refusal is an entry for good."""
    limit = world.database.settings.bad_records_per_minute
    subject = await subject_of(world)
    about = new_id(NOW) if kind == "unknown case" else subject
    # To reply without an outcome is malformed; to sign again is against the rules of the case.
    deed = "reply" if kind == "malformed" else "sign"
    junk = [world.action(about, deed, f"junk-{number}") for number in range(limit + 50)]
    with pytest.raises(PartitionPaused):
        await world.send(LEAD, *junk)
    await world.fire_timers()
    refused = [event for event in await world.emitted() if event.type == "civic.routing.request_refused.v1"]
    assert len(refused) == {"unknown case": 0, "malformed": limit, "refused by the case": MOST_REFUSALS}[kind]
    assert len([one for one in await results(world) if one.data["action"].startswith("junk")]) == limit
