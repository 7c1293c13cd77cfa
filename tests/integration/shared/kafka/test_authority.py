"""`civicloom topics acl` and `topics user` on a secured broker: who may what, and who may not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, Producer

from deploy.local.kafka import Kafka
from deploy.local.secured import Secured
from harness.schema import make_topics
from services import cli
from shared.contracts.addresses import topic_name
from shared.contracts.registry import writers
from shared.kafka.authority import Authority
from shared.kafka.rights import Right, service_user, unit_user
from shared.kafka_access import KafkaAccess
from shared.policy.loader import load_pack
from shared.settings import SERVICES
from tests.paths import REPO

UNITS = [unit.code for unit in load_pack(REPO / "policies" / "cn-city").departments if unit.kafka]
WATER, OTHER = UNITS[:2]


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka"), secured=Secured("operator", "all-rights")) as running:
        await make_topics(running.access, "civic", [WATER, OTHER])
        yield running


@pytest.fixture(autouse=True)
def environment(broker: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in broker.access.environment().items():
        monkeypatch.setenv(name, value)


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(cli.main, ["topics", *arguments])


@pytest.fixture(scope="module")
async def known(broker: Kafka) -> dict[str, KafkaAccess]:
    """The way to the broker of each service and of two units, all with a user of their own."""
    authority = Authority(broker.access)
    users = [service_user("civic", one) for one in SERVICES] + [
        unit_user("civic", one) for one in (WATER, OTHER)
    ]
    return {
        user: replace(broker.access, username=user, password=await authority.set_password(user))
        for user in users
    }


@pytest.fixture
async def granted(
    known: dict[str, KafkaAccess], capsys: pytest.CaptureFixture[str]
) -> dict[str, KafkaAccess]:
    assert await run("acl", "apply") == 0
    capsys.readouterr()
    return known


async def may_write(access: KafkaAccess, topic: str) -> bool:
    producer = AIOKafkaProducer(**access.options(), request_timeout_ms=5000)
    try:
        async with asyncio.timeout(20):
            await producer.start()
            await producer.send_and_wait(topic, b"{}", key=b"k", partition=0)
    except KafkaError:
        return False
    finally:
        await producer.stop()
    return True


async def may_read(access: KafkaAccess, topic: str, group: str | None = None) -> bool:
    consumer = AIOKafkaConsumer(
        topic, **access.options(), group_id=group, auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        async with asyncio.timeout(20):
            await consumer.start()
            await consumer.getone()
    except KafkaError:
        return False
    finally:
        await consumer.stop()
    return True


TOPICS = [
    *(topic_name("civic", one) for one in ("inquiry", "routing", "publisher", "audit", "contact")),
    *(topic_name("civic", one, code) for one in ("department", "actions") for code in (WATER, OTHER)),
]
WRITERS = {
    (service_user("civic", who), topic_name("civic", what))
    for who, what in writers()
    if what not in ("department", "actions")
} | {
    (user, topic)
    for code in (WATER, OTHER)
    for user, topic in (
        ("civic.routing", topic_name("civic", "department", code)),
        (unit_user("civic", code), topic_name("civic", "actions", code)),
    )
}


async def test_each_writes_its_own_topics_and_no_other(granted: dict[str, KafkaAccess]) -> None:
    written = {
        (user, topic)
        for user, access in granted.items()
        for topic in TOPICS
        if await may_write(access, topic)
    }
    assert written == WRITERS


async def test_each_reads_what_concerns_it_and_only_the_publisher_contacts(
    broker: Kafka, granted: dict[str, KafkaAccess]
) -> None:
    for topic in TOPICS:
        assert await may_write(broker.access, topic)  # something to read
    read = {
        user: {topic for topic in TOPICS if await may_read(access, topic)} for user, access in granted.items()
    }
    common = {topic_name("civic", one) for one in ("inquiry", "routing", "publisher")}
    assert read["civic.publisher"] == common | {topic_name("civic", "contact")}
    assert read["civic.audit"] == common | {topic_name("civic", "audit")}
    assert read["civic.inquiry"] == {topic_name("civic", one) for one in ("inquiry", "routing")}
    assert read[unit_user("civic", WATER)] == {topic_name("civic", "department", WATER)}
    assert topic_name("civic", "contact") not in read["civic.routing"]


async def test_a_unit_has_groups_of_its_own_only(broker: Kafka, granted: dict[str, KafkaAccess]) -> None:
    user, topic = unit_user("civic", WATER), topic_name("civic", "department", WATER)
    assert await may_write(broker.access, topic)
    assert await may_read(granted[user], topic, f"{user}.main")
    for group in (
        "civic.publisher",
        "civic.routing.actions",
        f"{unit_user('civic', OTHER)}.main",
        user,
        "main",
    ):
        assert not await may_read(granted[user], topic, group)


async def test_nobody_but_the_operator_makes_deletes_or_lists_what_is_not_theirs(
    granted: dict[str, KafkaAccess],
) -> None:
    for user, access in granted.items():
        admin = AIOKafkaAdminClient(**access.options())
        await admin.start()
        try:
            made = await admin.create_topics([NewTopic(f"{user}.new", 1, 1)])
            assert made.topic_errors[0][1] == 29, user
            gone = await admin.delete_topics(["civic.inquiry.v1"])
            assert gone.topic_error_codes[0][1] == 29, user
            listed = {one["topic"] for one in await admin.describe_topics()}
        finally:
            await admin.close()
        if "department" in user:
            assert listed == {f"{user}.v1", f"{user}.actions.v1"}


async def test_a_client_in_another_language_is_a_unit(broker: Kafka, granted: dict[str, KafkaAccess]) -> None:
    """librdkafka, with what `topics user` prints."""
    user, topic = unit_user("civic", WATER), topic_name("civic", "department", WATER)
    assert await may_write(broker.access, topic)
    settings = granted[user].librdkafka_options()

    def use() -> tuple[list[object], bool]:
        errors: list[object] = []
        producer = Producer(settings | {"enable.idempotence": True})
        producer.produce(
            topic_name("civic", "actions", WATER),
            b"{}",
            b"k",
            on_delivery=lambda error, _: errors.append(error),
        )
        producer.flush(20)
        consumer = Consumer(settings | {"group.id": f"{user}.other", "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        try:
            message = consumer.poll(20)
            return errors, message is not None and message.error() is None
        finally:
            consumer.close()

    assert await asyncio.to_thread(use) == ([None], True)


async def test_rights_changed_by_hand_are_shown_and_put_right(
    broker: Kafka, granted: dict[str, KafkaAccess], capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(broker.access)
    assert await run("acl", "diff") == 0
    assert "rights are as derived" in capsys.readouterr().out
    given = Right(unit_user("civic", WATER), "READ", "TOPIC", "civic.contact.v1")
    taken = Right("civic.publisher", "READ", "TOPIC", "civic.contact.v1")
    strange = Right("monitor", "READ", "TOPIC", "civic.", "PREFIXED")
    await authority.grant([given, strange])
    await authority.revoke([taken])
    assert await run("acl", "diff", "--json") == 1
    found = {(one["action"], one["user"]) for one in json.loads(capsys.readouterr().out)}
    assert found == {("revoke", given.user), ("grant", taken.user), ("refuse", "monitor")}
    assert await run("acl", "apply") == 1
    assert f"refuse  {strange}" in capsys.readouterr().out
    rights = await authority.rights()
    assert taken in rights
    assert given not in rights
    assert strange in rights
    await authority.revoke([strange])
    assert await run("acl", "diff") == 0


async def test_a_removed_unit_is_out_at_once_with_its_standing_connection(
    broker: Kafka, granted: dict[str, KafkaAccess], capsys: pytest.CaptureFixture[str]
) -> None:
    user, topic = unit_user("civic", OTHER), topic_name("civic", "actions", OTHER)
    async with AIOKafkaProducer(**granted[user].options()) as standing:
        await standing.send_and_wait(topic, b"{}")
        assert await run("user", "remove", OTHER) == 0
        with pytest.raises(KafkaError):
            async with asyncio.timeout(60):
                while True:
                    await standing.send_and_wait(topic, b"{}")
                    await asyncio.sleep(0.1)
    assert not await may_write(granted[user], topic)
    assert await run("user", "remove", OTHER) == 2
    assert f"the brokers have no user {user}" in capsys.readouterr().err
    assert await run("user", "add", OTHER, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    again = replace(granted[user], password=made["password"])
    assert await may_write(again, topic)
    assert made["configurations"]["librdkafka"].splitlines()[0] == f"bootstrap.servers={broker.bootstrap}"
    assert all(made["password"] in text for text in made["configurations"].values())
    assert await run("user", "add", OTHER) == 2
    assert "use `rotate`" in capsys.readouterr().err


async def test_a_rotated_password_is_the_only_one(
    granted: dict[str, KafkaAccess], capsys: pytest.CaptureFixture[str]
) -> None:
    user, topic = "civic.publisher", topic_name("civic", "publisher")
    assert await run("user", "rotate", "publisher", "--service", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["user"] == user
    assert not await may_write(granted[user], topic)
    granted[user] = replace(granted[user], password=made["password"])
    assert await may_write(granted[user], topic)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["user", "add", "no-such-unit"], "no-such-unit is no unit of cn-city that uses Kafka"),
        (["user", "add", "水务"], "must match"),
        (["user", "rotate", "Water"], "must match"),
        (["user", "rotate", "no-such-unit"], "the brokers have no user civic.department.no-such-unit"),
        (["user", "add", "water", "--service"], "water is none of publisher, inquiry, routing, audit"),
        (["user", "add", WATER, "--address", "here"], "'here' is not host:port"),
        (["acl", "diff", "--namespace", "Civic City"], "namespace 'Civic City' must match"),
        (["acl", "diff", "--pack", "no-such-pack"], "there is no pack 'no-such-pack'"),
        (["user", "add"], "Missing argument 'UNIT'"),
    ],
)
async def test_nonsense_is_one_sentence(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments) == 2
    assert fault in capsys.readouterr().err


async def test_who_is_no_operator_learns_it(
    granted: dict[str, KafkaAccess], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in granted[unit_user("civic", WATER)].environment().items():
        monkeypatch.setenv(name, value)
    assert await run("acl", "diff") == 1
    said = capsys.readouterr().err
    user = unit_user("civic", WATER)
    assert said == f"civicloom: the Kafka user {user} may not administer users and rights\n"


async def test_the_example_of_a_unit_signs_with_what_it_was_given(
    broker: Kafka, granted: dict[str, KafkaAccess], tmp_path: Path
) -> None:
    user, code = unit_user("civic", WATER), WATER
    offer = json.loads((REPO / "contracts" / "golden" / "civic.department.case_offered.v1.json").read_text())
    async with AIOKafkaProducer(**granted["civic.routing"].options()) as producer:
        await producer.send_and_wait(topic_name("civic", "department", code), json.dumps(offer).encode())
    password = tmp_path / "password"
    password.write_text(f"{granted[user].password}\n")
    given = replace(granted[user], password=None, password_file=password).environment()
    script = str(REPO / "examples" / "department.py")
    example = await asyncio.create_subprocess_exec(
        *(sys.executable, script, broker.bootstrap, code, "--seconds", "0"), env=os.environ | given
    )
    consumer = AIOKafkaConsumer(
        topic_name("civic", "actions", code), **broker.access.options(), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(40):
            async for record in consumer:
                action = json.loads(record.value)
                if action.get("subject") == offer["subject"]:
                    break
        assert action["type"] == "civic.action.sign.v1"
    finally:
        await consumer.stop()
        if example.returncode is None:
            example.terminate()
        await example.wait()
