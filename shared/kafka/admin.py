"""A typed adapter over aiokafka's admin client: describes, creates and configures topics."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.errors import CivicloomError
from shared.kafka.refusal import explain
from shared.kafka.topics import TopicSpec
from shared.kafka_access import AccessInvalid, KafkaAccess

_VISIBLE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SET_ON_THE_TOPIC = 1  # ConfigSource DYNAMIC_TOPIC_CONFIG; others come from the broker or its defaults


class BrokerRefused(CivicloomError):
    """No broker answers, or it refuses an administrator's request."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic on the broker. `config` holds the topic's own settings, without the broker's defaults."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class KafkaAdmin:
    """An administrator's connection; an async context manager.

    Every method raises BrokerRefused with the topic and the broker's reason.
    """

    def __init__(self, access: KafkaAccess, *, timeout: float = 15.0) -> None:
        """`timeout` is in seconds, per request."""
        self._access = access
        self._timeout_ms = int(timeout * 1000)
        self._client: Any = None

    async def __aenter__(self) -> Self:
        # Not in the constructor: the client binds itself to the running loop.
        try:
            options = self._access.options()
        except AccessInvalid as error:
            raise BrokerRefused(str(error)) from error
        self._client = AIOKafkaAdminClient(**options, request_timeout_ms=self._timeout_ms)
        try:
            await self._client.start()
        except BaseException as error:
            await self._client.close()
            if isinstance(error, KafkaError):
                raise BrokerRefused(await explain(error, self._access)) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        """The named topics that exist, by name."""
        # Lists all topics and filters: naming a missing one could create it, if auto-creation is on.
        found = await self._listed(set(names))
        if not found:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        answers = await self._request(self._client.describe_configs(resources), "describe topics")
        config: dict[str, dict[str, str]] = {}
        for answer in answers:
            for code, message, _, name, entries in answer.resources:
                _check(code, name, message)
                config[name] = {
                    entry[0]: entry[1] or "" for entry in entries if entry[3] == _SET_ON_THE_TOPIC
                }
        return {
            name: TopicState(name, len(partitions), len(partitions[0]["replicas"]), config[name])
            for name, partitions in found.items()
        }

    async def create(self, specs: Sequence[TopicSpec]) -> set[str]:
        """Creates the topics, waits until they have leaders, and returns the names that it created.

        A topic that another client creates meanwhile is left as it is.
        """
        wanted = [
            NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config))
            for spec in specs
        ]
        answer = await self._request(self._client.create_topics(wanted), "create topics")
        created = set()
        for name, code, message in answer.topic_errors:  # the client raises nothing for a single topic
            if code != TopicAlreadyExistsError.errno:
                _check(code, name, message)
                created.add(name)
        names = {spec.name for spec in specs}
        await _until(lambda: self._all_led(names), "new topics have no leader")
        return created

    async def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Replaces a topic's whole configuration; settings not in `config` return to the default."""
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(config))
        for answer in await self._request(self._client.alter_configs([resource]), f"configure {name}"):
            for code, message, _, topic in answer.resources:
                _check(code, topic, message)

        async def applied() -> bool:
            return (await self.describe([name]))[name].config == config

        await _until(applied, f"{name} does not show its new settings")

    async def widen(self, name: str, partitions: int) -> None:
        """Adds partitions to a topic up to this number, and waits until they have leaders.

        It does not matter if another client adds them meanwhile.
        """
        added = {name: NewPartitions(partitions)}

        async def there() -> bool:
            return len((await self._listed({name})).get(name, ())) >= partitions

        try:
            await self._request(self._client.create_partitions(added), f"add partitions to {name}")
        except BrokerRefused:
            if not await there():
                raise

        async def applied() -> bool:
            return await there() and await self._all_led({name})

        await _until(applied, f"new partitions of {name} have no leader")

    async def group_offsets(self, topic: str) -> dict[str, dict[int, int]]:
        """The next offset by partition of each consumer group that has committed any for the topic."""
        found = {}
        for group, _ in await self._request(self._client.list_consumer_groups(), "list consumer groups"):
            offsets = await self._request(
                self._client.list_consumer_group_offsets(group), f"give the offsets of group {group}"
            )
            if own := {at.partition: kept.offset for at, kept in offsets.items() if at.topic == topic}:
                found[group] = own
        return found

    async def _listed(self, names: set[str]) -> dict[str, list[dict[str, Any]]]:
        topics = await self._request(self._client.describe_topics(), "list topics")
        return {topic["topic"]: topic["partitions"] for topic in topics if topic["topic"] in names}

    async def _all_led(self, names: set[str]) -> bool:
        found = await self._listed(names)
        return found.keys() == names and all(
            partition["error_code"] == 0 for partitions in found.values() for partition in partitions
        )

    async def _request(self, request: Any, purpose: str) -> Any:
        try:
            return await request
        except (KafkaError, TimeoutError) as error:
            raise BrokerRefused(
                f"the broker at {self._access.bootstrap} did not {purpose}: {error!r}"
            ) from error


async def _until(visible: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Polls until a change is visible: brokers learn of it a moment after the controller."""
    try:
        async with asyncio.timeout(_VISIBLE_SECONDS):
            while not await visible():
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise BrokerRefused(f"{otherwise} after {_VISIBLE_SECONDS:.0f} s") from error


def _check(code: int, topic: str, message: str | None) -> None:
    if code:
        raise BrokerRefused(f"{topic}: {message or for_code(code).__name__}")
