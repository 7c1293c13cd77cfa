"""Topics on a real broker, by the functions and by the command."""

import asyncio
import dataclasses
import json
from itertools import count

import pytest

from deploy.local.pair import Pair
from services import cli
from shared.kafka.admin import BrokerRefused, KafkaAdmin
from shared.kafka.topic_changes import apply, diff
from shared.kafka.topics import TopicSpec, load_topics

pytestmark = pytest.mark.integration

UNITS = ["parks", "water-affairs"]


_NUMBERS = count(1)


@pytest.fixture
def wanted(namespace: str) -> list[TopicSpec]:
    """The topics of an installation of this test's own."""
    return load_topics().specs(f"{namespace}-{next(_NUMBERS)}", UNITS)


async def test_a_new_installation_gets_every_topic_as_declared(pair: Pair, wanted: list[TopicSpec]) -> None:
    changes = await apply(pair.access, wanted)
    assert [(change.topic, change.action) for change in changes] == [(spec.name, "create") for spec in wanted]
    async with KafkaAdmin(pair.access) as admin:
        found = await admin.describe(spec.name for spec in wanted)
    for spec in wanted:
        state = found[spec.name]
        assert (state.partitions, state.replication, dict(state.config)) == (
            spec.partitions,
            1,
            dict(spec.config),
        )


async def test_the_broker_syncs_what_service_topics_with_one_replica_acknowledge(
    pair: Pair, wanted: list[TopicSpec]
) -> None:
    """And an installation that is upgraded gets the setting, without losing one of its operator's."""
    first = wanted[0]
    older = {name: value for name, value in first.config.items() if name != "flush.messages"}
    await apply(pair.access, [dataclasses.replace(first, config=older)])
    async with KafkaAdmin(pair.access) as admin:
        await admin.configure(first.name, {**older, "segment.ms": "123456"})
    await apply(pair.access, wanted)
    async with KafkaAdmin(pair.access) as admin:
        found = await admin.describe(spec.name for spec in wanted)
    flushed = {name for name, state in found.items() if state.config.get("flush.messages") == "1"}
    assert flushed == {name for name in found if ".department." not in name}
    assert found[first.name].config["segment.ms"] == "123456"


async def test_a_topic_that_is_to_have_more_replicas_is_no_longer_synced(
    pair: Pair, wanted: list[TopicSpec]
) -> None:
    first = wanted[0]
    await apply(pair.access, [first])
    config = {name: value for name, value in first.config.items() if name != "flush.messages"}
    replicated = dataclasses.replace(first, replication=3, config=config, unset=frozenset({"flush.messages"}))
    await apply(pair.access, [replicated])
    async with KafkaAdmin(pair.access) as admin:
        assert "flush.messages" not in (await admin.describe([first.name]))[first.name].config


async def test_a_second_apply_finds_nothing_to_do(pair: Pair, wanted: list[TopicSpec]) -> None:
    assert await diff(pair.access, wanted) != []
    await apply(pair.access, wanted)
    assert await apply(pair.access, wanted) == []
    assert await diff(pair.access, wanted) == []


async def test_two_applies_at_a_time_both_succeed(pair: Pair, wanted: list[TopicSpec]) -> None:
    await asyncio.gather(*(apply(pair.access, wanted) for _ in range(4)))
    assert await diff(pair.access, wanted) == []


async def test_a_changed_setting_is_corrected_and_no_other_one_is_lost(
    pair: Pair, wanted: list[TopicSpec]
) -> None:
    await apply(pair.access, wanted)
    spec = wanted[0]
    by_hand = {**spec.config, "retention.ms": "60000", "segment.ms": "123456"}
    async with KafkaAdmin(pair.access) as admin:
        await admin.configure(spec.name, by_hand)
    expected = "retention.ms: 60000 -> 3024000000"
    assert [change.details for change in await diff(pair.access, wanted)] == [(expected,)]
    changes = await apply(pair.access, wanted)
    assert [(change.action, change.details) for change in changes] == [("configure", (expected,))]
    async with KafkaAdmin(pair.access) as admin:
        state = (await admin.describe([spec.name]))[spec.name]
    assert dict(state.config) == {**spec.config, "segment.ms": "123456"}


@pytest.mark.parametrize(("declared", "advice"), [(8, "lose their order"), (2, "cannot take")])
async def test_another_number_of_partitions_is_refused_and_the_rest_is_done(
    pair: Pair, wanted: list[TopicSpec], declared: int, advice: str
) -> None:
    first, *others = wanted
    await apply(pair.access, [first])
    changes = await apply(pair.access, [dataclasses.replace(first, partitions=declared), *others])
    refused = [change for change in changes if change.action == "refuse"]
    assert [change.topic for change in refused] == [first.name]
    assert advice in refused[0].details[0]
    assert await diff(pair.access, wanted) == []


async def test_a_topic_that_the_broker_cannot_make_is_an_error_with_its_name(
    pair: Pair, wanted: list[TopicSpec]
) -> None:
    too_many = dataclasses.replace(wanted[0], replication=9)
    with pytest.raises(BrokerRefused, match=wanted[0].name):
        await apply(pair.access, [too_many])


async def test_a_setting_that_kafka_refuses_is_an_error_with_the_topic(
    pair: Pair, wanted: list[TopicSpec]
) -> None:
    await apply(pair.access, wanted[:1])
    wrong = dataclasses.replace(wanted[0], config={**wanted[0].config, "retention.ms": "soon"})
    with pytest.raises(BrokerRefused, match=wanted[0].name):
        await apply(pair.access, [wrong])


def test_the_command_applies_and_then_shows_no_difference(
    pair: Pair, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--bootstrap", pair.access.bootstrap, "--namespace", f"{namespace}-cli", "--json"]
    assert cli.main(["topics", "diff", *options]) == 1
    missing = json.loads(capsys.readouterr().out)
    assert cli.main(["topics", "apply", *options]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == missing
    assert {change["action"] for change in made} == {"create"}
    assert f"{namespace}-cli.inquiry.v1" in {change["topic"] for change in made}
    assert cli.main(["topics", "diff", *options]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_refused_change_makes_the_command_exit_with_1(
    pair: Pair, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--bootstrap", pair.access.bootstrap, "--namespace", f"{namespace}-refused"]
    assert cli.main(["topics", "apply", *options]) == 0
    assert cli.main(["topics", "apply", *options, "--replication", "2"]) == 1
    assert "kafka-reassign-partitions" in capsys.readouterr().out
