"""Migrated schemas for tests: a service's tables in a fresh database, without the command line."""

import asyncpg
from pydantic import SecretStr

from shared.contracts.addresses import topic_name
from shared.kafka.records import RawRecord
from shared.kafka.topic_changes import apply
from shared.kafka.topics import load_topics
from shared.kafka_access import KafkaAccess
from shared.migrate import migrate, prepare_roles
from shared.settings import CoreSettings, ServiceName
from shared.unit_of_work.database import Database

SECRET = "00" * 32  # the key of every test installation
_MIGRATED: set[tuple[str, ServiceName]] = set()
"""Databases that this process has migrated, by address, and for which service."""

_DEFAULT = KafkaAccess("127.0.0.1:9092")


async def open_service_database(
    admin_url: str,
    service: ServiceName,
    *,
    namespace: str = "civic",
    access: KafkaAccess = _DEFAULT,
    **more: object,
) -> Database:
    """Applies the service's migrations in the database of `admin_url` and opens it as the service would.

    They are applied on the first call only: two thirds of the time that a test takes to open its database.
    """
    if (admin_url, service) not in _MIGRATED:
        await prepare_roles(admin_url)
        migrate(admin_url, service)
        _MIGRATED.add((admin_url, service))
    settings = CoreSettings(
        service=service,
        database_url=SecretStr(admin_url),
        topic_namespace=namespace,
        secret_key=SECRET,
        **access.settings(),
        **more,  # type: ignore[arg-type]
    )
    return await Database.open(settings)


async def outbox_records(connection: asyncpg.Connection | asyncpg.Pool, topic: str) -> list[RawRecord]:
    """The records that the relay would send on `topic`, in order, as a consumer gets them."""
    rows = await connection.fetch(
        "SELECT id, key, value, words FROM outbox WHERE topic = $1 ORDER BY id", topic
    )
    return [
        RawRecord(
            topic,
            0,
            row["id"],
            0,
            row["key"].encode(),
            row["value"],
            (("words", row["words"]),) if row["words"] is not None else (),
        )
        for row in rows
    ]


async def make_topics(
    access: KafkaAccess, namespace: str, units: list[str], *, only: str | None = None
) -> None:
    """Creates the declared topics of a namespace, with those of `units`; of the services' those of `only`.

    A test that has a namespace of its own and needs one topic saves the broker the other sixteen partitions.
    """
    others = {topic_name(namespace, name) for name in load_topics().topics if only not in (None, name)}
    specs = load_topics().specs(namespace, units)
    await apply(access, [spec for spec in specs if spec.name not in others])
