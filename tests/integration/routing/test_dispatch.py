"""From inquiry's events to the records on the units' topics, on a real PostgreSQL."""

import dataclasses
import hashlib

import orjson
import pytest

from services.routing.deliveries import aggregate_of, on_delivered
from shared.contracts.inquiry import InquiryAccepted, InquiryErased
from shared.ids import new_id
from shared.kafka.client import RecordMetadata
from shared.outbox.rows import Row
from shared.packs import QUERIES
from shared.policy.model import Pack
from tests.integration.routing.conftest import DEADLINE, NOW, WORDS, World

pytestmark = pytest.mark.integration


async def test_an_accepted_case_is_dispatched_by_the_catalogue_with_its_words(world: World) -> None:
    subject = await world.dispatched()
    dispatched = (await world.emitted())[0]
    offered = (await world.emitted("urban-management"))[0]
    assert await world.state(subject) == "offered"
    assert dispatched.type == "civic.case.dispatched.v1"
    assert dispatched.data["lead"] == "urban-management"
    assert dispatched.data["rule"] == "cn-municipal-street-light"
    assert dispatched.policyversion == world.packs.current.version
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
    assert (await world.emitted("urban-management"))[0].data["words"]["text"] == WORDS.text


async def test_a_case_that_no_rule_places_goes_to_triage_with_its_hint(world: World) -> None:
    unknown = await world.dispatched(service_code="no-such-service", hint="water")
    (triaged,) = await world.emitted(about=unknown)
    assert (triaged.type, triaged.data) == (
        "civic.case.triaged.v1",
        {"reason": "unknown_service", "hint": "water", "attempt": 0},
    )
    assert await world.state(unknown) == "triage"


async def test_the_offer_to_a_co_handler_names_the_lead(world: World) -> None:
    await world.dispatched(service_code="municipal-manhole", area="yunxi")
    (lead,) = await world.emitted("yunxi-urban")
    (co,) = await world.emitted("water")
    assert (lead.data["role"], co.data["role"]) == ("lead", "co")
    assert co.data["lead"] == "yunxi-urban"


async def test_a_unit_without_topics_gets_no_record_and_sees_the_case_at_its_desk(world: World) -> None:
    subject = await world.dispatched(service_code="utilities-communications")
    assert await world.types(about=subject) == ["case.dispatched"]
    assert await world.emitted("telecom") == []
    assert await world.database.pool.fetchval("SELECT unit FROM assignment") == "telecom"


async def test_hundreds_of_cases_in_one_slice_are_each_dispatched_once(world: World) -> None:
    records = [world.received(new_id(NOW)) for _ in range(300)]
    await world.take(*records)
    await world.take(*records)
    assert await world.types() == ["case.dispatched"] * 300
    assert len(await world.emitted("urban-management")) == 300


async def test_a_fact_about_a_case_that_was_never_received_opens_a_file_and_waits(world: World) -> None:
    subject = new_id(NOW)
    await world.take(world.fact(subject, InquiryAccepted(deadline=DEADLINE)))
    assert (await world.state(subject), await world.types()) == ("waiting", [])
    await world.take(world.received(subject, deadline=None))
    assert await world.state(subject) == "offered"


async def test_erasure_deletes_the_words_and_sends_a_record_to_every_unit_that_got_them(world: World) -> None:
    subject = await world.dispatched()
    await world.act("urban-management", subject, "return", reason="not_our_area", text="不在辖区")
    await world.take(world.fact(subject, InquiryErased(basis="citizen_request")))
    row = await world.database.pool.fetchrow(
        "SELECT case_file.state, words, note FROM case_file JOIN assignment ON inquiry = id WHERE id = $1",
        subject,
    )
    assert row is not None
    assert tuple(row) == ("erased", None, None)
    assert (await world.emitted("urban-management"))[-1].data["reason"] == "erased"


async def test_words_that_come_after_the_erasure_are_not_kept(world: World) -> None:
    subject = new_id(NOW)
    await world.take(world.fact(subject, InquiryErased(basis="retention")))
    await world.take(world.received(subject))
    assert await world.database.pool.fetchval("SELECT words FROM case_file") is None
    assert await world.types() == []


async def test_a_policy_version_that_is_not_here_parks_the_case_until_it_is(world: World) -> None:
    known, unknown = new_id(NOW), new_id(NOW)
    record = world.received(unknown)
    version = world.packs.current.version.encode()
    foreign = record.value.replace(version, b"cn-city@000000000000") if record.value else b""
    await world.take(dataclasses.replace(record, value=foreign), world.received(known))
    assert await world.state(known) == "offered"
    assert await world.state(unknown) is None
    parked = await world.database.pool.fetchrow("SELECT key, error, dead FROM parked_key")
    assert parked is not None
    assert tuple(parked) == (unknown, "PackNotHere", False)


async def test_a_version_of_the_pack_comes_back_from_the_table(world: World) -> None:
    pack = world.packs.current
    renamed = Pack.of(
        pack.model_dump(mode="json") | {"limits": pack.limits.model_dump() | {"returns_per_unit": 5}}
    )
    async with world.database.pool.acquire() as connection:
        kept = renamed.version, renamed.to_json().decode()
        await connection.execute(QUERIES["keep_policy_version"], *kept)
        await world.packs.load(connection, [renamed.version])
    assert world.packs.of(renamed.version) == renamed


async def test_records_that_are_acknowledged_together_are_stated_by_one_event_for_a_case(
    world: World,
) -> None:
    subjects = [await world.dispatched(), await world.dispatched()]
    found = await world.database.pool.fetch(
        "SELECT id, shard, topic, key, value, words, delivery FROM outbox"
        " WHERE delivery IS NOT NULL ORDER BY id"
    )
    first, second = (Row(**dict(row)) for row in found)
    more = [first._replace(delivery=_another(first)) for _ in range(150)]
    delivered = [(row, RecordMetadata(0, offset)) for offset, row in enumerate((first, second, *more))]
    async with world.database.transaction(subjects) as tx:
        await on_delivered(tx, delivered)
    stated = [
        [event.data, *event.data.get("others", ())]
        for subject in subjects
        for event in await world.emitted(about=subject)
        if event.type == "civic.delivery.succeeded.v1"
    ]
    assert [len(records) for records in stated] == [100, 51, 1]
    offsets = [[record["offset"] for record in records] for records in stated]
    assert offsets == [[0, *range(2, 101)], [*range(101, 152)], [1]]
    assert {record["unit"] for records in stated for record in records} == {"urban-management"}


def _another(row: Row) -> str:
    return orjson.dumps(orjson.loads(row.delivery or "") | {"id": new_id(NOW)}).decode()


async def test_a_delivery_names_the_offset_and_the_hash_of_its_record(world: World) -> None:
    subject = await world.dispatched()
    found = await world.database.pool.fetchrow(
        "SELECT id, shard, topic, key, value, words, delivery FROM outbox WHERE delivery IS NOT NULL"
    )
    assert found is not None
    row = Row(**dict(found))
    async with world.database.transaction([aggregate_of(row)]) as tx:
        await on_delivered(tx, [(row, RecordMetadata(3, 41))])
    delivered = (await world.emitted(about=subject))[-1]
    assert delivered.causationid == delivered.data["record"]
    assert delivered.data == {
        "unit": "urban-management",
        "record": (await world.emitted("urban-management"))[0].id,
        "record_type": "civic.department.case_offered.v1",
        "topic": f"{world.namespace}.department.urban-management.v1",
        "partition": 3,
        "offset": 41,
        "hash": hashlib.sha256(row.value).hexdigest(),
    }
