"""Who has to have read a topic before it may grow: our consumers and the log, or a unit's consumer groups."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import typer

from services.audit.log.queries import cursors
from services.environment import open_database
from shared.contracts.readers import CONSUMERS, LOGGED
from shared.inbox.cursors import read_cursors
from shared.kafka.admin import KafkaAdmin
from shared.kafka.records import Partition
from shared.kafka_access import KafkaAccess
from shared.outbox.growth import Growth, GrowthRefused, ReadOffsets
from shared.settings import SERVICES, ServiceName
from shared.unit_of_work.database import Database


@asynccontextmanager
async def open_growth(
    topic: str, logical: str, access: KafkaAccess, seconds: float, *, unit_has_read: bool
) -> AsyncIterator[Growth]:
    """The growth of a topic with this logical name, on the databases of all services.

    Raises DatabaseAway, BrokerRefused, GrowthRefused, and typer.BadParameter for bad settings.
    """
    async with AsyncExitStack() as opened:
        databases = {name: await opened.enter_async_context(open_database(name)) for name in SERVICES}
        admin = await opened.enter_async_context(KafkaAdmin(access))
        if logical != "department":
            readers = _service_readers(databases, logical)
        else:
            readers = {} if unit_has_read else await _unit_readers(admin, topic)
        yield Growth(
            databases,
            admin,
            access,
            topic,
            readers,
            seconds=seconds,
            report=lambda sentence: typer.echo(sentence, err=True),
        )


def _service_readers(databases: Mapping[ServiceName, Database], logical: str) -> dict[str, ReadOffsets]:
    readers: dict[str, ReadOffsets] = {
        consumer: partial(read_cursors, databases[service], consumer)
        for service in databases
        for consumer, read in CONSUMERS[service].items()
        if logical in read
    }

    async def logged() -> dict[Partition, int]:
        async with databases["audit"].pool.acquire() as connection:
            return {at: cursor.next for at, cursor in (await cursors(connection)).items()}

    return readers | ({"the log": logged} if logical in LOGGED else {})


async def _unit_readers(admin: KafkaAdmin, topic: str) -> dict[str, ReadOffsets]:
    """The consumer groups that have read the unit's topic. Raises GrowthRefused if there are none."""

    def reading(group: str) -> ReadOffsets:
        async def read() -> dict[Partition, int]:
            found = (await admin.group_offsets(topic)).get(group, {})
            return {(topic, partition): offset for partition, offset in found.items()}

        return read

    groups = await admin.group_offsets(topic)
    if not groups:
        raise GrowthRefused(
            f"the broker knows no consumer group that reads {topic}: see that the unit's system has read "
            "everything, then add --unit-has-read"
        )
    return {f"group {group}": reading(group) for group in sorted(groups)}
