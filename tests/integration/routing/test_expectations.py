"""What routing waits for: Kafka's word about an offer, inquiry's about a reply, the beginning of a case."""

from dataclasses import replace

import pytest

from services.routing.deliveries import aggregate_of, on_delivered
from shared.contracts.inquiry import InquiryAccepted, InquiryErased, InquiryReplied
from shared.ids import new_id
from shared.kafka.client import RecordMetadata
from shared.outbox.rows import Row
from shared.unit_of_work.ended_waits import end_wait
from shared.unit_of_work.expectations import Expectation
from tests.integration.routing.conftest import DEADLINE, DUE, NOW, World

pytestmark = pytest.mark.integration


async def expected(world: World, subject: str) -> list[tuple[str, str]]:
    rows = await world.database.pool.fetch(
        "SELECT kind, party FROM expectation WHERE subject = $1 ORDER BY kind, party", subject
    )
    return [(row["kind"], row["party"]) for row in rows]


async def acknowledge(world: World) -> None:
    """Kafka acknowledges every record for a unit that stands in the outbox."""
    rows = [
        Row(*row)
        for row in await world.database.pool.fetch(
            "SELECT id, shard, topic, key, value, words, delivery FROM outbox WHERE delivery IS NOT NULL"
        )
    ]
    async with world.database.transaction({aggregate_of(row) for row in rows}) as tx:
        await on_delivered(tx, [(row, RecordMetadata(0, number)) for number, row in enumerate(rows)])


async def test_each_offer_waits_for_its_delivery(world: World) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    assert await expected(world, subject) == [("delivery", "water"), ("delivery", "yunxi-urban")]
    await acknowledge(world)
    assert await expected(world, subject) == []


async def test_a_reply_waits_for_the_answer_of_inquiry(world: World) -> None:
    subject = await world.dispatched()
    await acknowledge(world)
    await world.act("urban-management", subject, "sign")
    await world.act("urban-management", subject, "reply", "a-2", outcome="solved", text="已修复。")
    assert await expected(world, subject) == [("answer", "")]
    (proposed,) = [one for one in await world.emitted(about=subject) if one.type.endswith("proposed.v1")]
    replied = InquiryReplied(
        unit="urban-management", outcome="solved", cycle=1, on_time=True, evaluate_until=DUE
    )
    await world.take(world.fact(subject, replied, causation=proposed.id))
    assert await expected(world, subject) == []


async def test_a_case_without_its_beginning_waits_for_it(world: World) -> None:
    subject = new_id(NOW)
    await world.take(world.fact(subject, InquiryAccepted(deadline=DEADLINE)))
    assert await expected(world, subject) == [("intake", "")]
    await world.take(world.received(subject, deadline=None))
    assert ("intake", "") not in await expected(world, subject)


async def test_an_erased_case_waits_for_nothing(world: World) -> None:
    subject = await world.dispatched()
    await world.take(world.fact(subject, InquiryErased(basis="citizen_request")))
    assert await expected(world, subject) == []


async def test_a_beginning_that_was_lost_and_is_sent_again_is_taken_once(world: World) -> None:
    subject = new_id(NOW)
    lost = world.received(subject, deadline=None)
    accepted = world.fact(subject, InquiryAccepted(deadline=DEADLINE))
    await world.take(replace(accepted, offset=0))
    assert await world.emitted(about=subject) == []
    await world.take(*(replace(lost, offset=offset) for offset in (1, 2)))
    assert await world.state(subject) == "offered"
    assert ("intake", "") not in await expected(world, subject)
    await world.take(replace(lost, offset=3))
    assert (await world.types(about=subject)).count("case.dispatched") == 1


async def test_a_beginning_that_was_given_up_is_taken_if_it_comes_after_all(world: World) -> None:
    subject = new_id(NOW)
    lost = world.received(subject, deadline=None)
    accepted = world.fact(subject, InquiryAccepted(deadline=DEADLINE))
    await world.take(replace(accepted, offset=0))
    await end_wait(world.database, Expectation(subject, "intake"), "ada", "nobody has kept it")
    await world.take(replace(lost, offset=1))
    assert await world.state(subject) == "offered"
    assert ("intake", "") not in await expected(world, subject)


async def test_a_beginning_behind_what_followed_it_is_taken_in_one_batch_too(world: World) -> None:
    subject = new_id(NOW)
    lost = world.received(subject, deadline=None)
    accepted = world.fact(subject, InquiryAccepted(deadline=DEADLINE))
    await world.take(replace(accepted, offset=0), *(replace(lost, offset=offset) for offset in (1, 2)))
    assert (await world.types(about=subject)).count("case.dispatched") == 1
    assert ("intake", "") not in await expected(world, subject)


async def test_a_beginning_that_a_case_does_not_wait_for_is_dropped(world: World) -> None:
    subject = new_id(NOW)
    lost = world.received(subject, deadline=None)
    erased = world.fact(subject, InquiryErased(basis="citizen_request"))
    await world.take(replace(erased, offset=0))
    before = await world.state(subject)
    await world.take(replace(lost, offset=1))
    assert await world.state(subject) == before
    assert await world.database.pool.fetchval("SELECT words FROM case_file WHERE id = $1", subject) is None
