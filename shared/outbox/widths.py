"""How wide each topic is for its writer: the number of partitions that keys are hashed over.

The number is kept in the service's schema. If it were the broker's of the moment, a key would change its
partition as soon as an administrator adds one, while older events of the key are unread in another: whatever
a reader meets too late there, it takes for known.
"""

import zlib
from collections.abc import Sequence, Set

import asyncpg

from shared import sql
from shared.kafka.client import Producer
from shared.kafka.topic_changes import KeptWidth
from shared.kafka.used_width import used_width
from shared.logs import get_logger
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)


def lock_class(purpose: str, service: str) -> int:
    """The first number of a service's advisory locks for one purpose."""
    return zlib.crc32(f"{purpose} {service}".encode()) & 0x7FFFFFFF


def width_locks(service: str) -> int:
    """The lock class in which relays show the last change of the widths that they have read."""
    return lock_class("widths", service)


async def read_widths(database: Database, topics: Sequence[str]) -> dict[str, KeptWidth]:
    """The widths that one service keeps of these topics, by topic."""
    rows = await database.pool.fetch(QUERIES["read_widths"], topics)
    return {row["topic"]: KeptWidth(row["partitions"], row["grows_to"], row["drained"]) for row in rows}


class TopicWidths:
    """The widths that one relay sends by. `kept`: width by topic, of each topic that it has sent to."""

    def __init__(self, producer: Producer, service: str) -> None:
        self.kept: dict[str, int] = {}
        self._producer = producer
        self._locks = width_locks(service)
        self._session: asyncpg.Connection | None = None
        self._revision = -1
        self._growing: dict[str, int] = {}
        self._narrow: dict[str, int] = {}

    @property
    def held(self) -> dict[str, str]:
        """Topics that get no events because of their width, each with the reason; `/readyz` shows them."""
        growing = {
            topic: f"is held, since `civicloom topics grow` is widening it to {width} partitions"
            for topic, width in self._growing.items()
        }
        narrow = {
            topic: f"has {found} partitions, its events need {self.kept[topic]}: `civicloom topics apply`"
            for topic, found in self._narrow.items()
        }
        return dict(sorted((narrow | growing).items()))

    async def has_changed(self, session: asyncpg.Connection) -> bool:
        """Whether `refresh` has anything to read on this session."""
        if session is not self._session or self._revision < 0:
            return True
        return bool(await session.fetch(QUERIES["changed_widths"], self._revision))

    async def refresh(self, session: asyncpg.Connection) -> None:
        """Reads what `topics grow` has changed. To be called while nothing is in flight.

        A lock on `session` shows that the change is known: from then on `topics grow` may rely on it.
        """
        if session is not self._session:
            self._session, self._revision = session, -1
            self.kept.clear()
            self._growing.clear()
            self._narrow.clear()
        while rows := await session.fetch(QUERIES["changed_widths"], self._revision):
            for row in rows:
                self._take(row)
            await self._show(session, max(row["revision"] for row in rows))
        if self._revision < 0:
            await self._show(session, 0)
            await self.refresh(session)

    async def _show(self, session: asyncpg.Connection, revision: int) -> None:
        await session.execute(QUERIES["know_widths"], self._locks, revision)
        if self._revision >= 0:
            await session.execute(QUERIES["forget_widths"], self._locks, self._revision)
        self._revision = revision

    async def fit(self, session: asyncpg.Connection, topics: Set[str]) -> set[str]:
        """Those of the topics that can be sent to now; the others are missing, narrower than kept, or held.

        Keeps the width of a topic on its first use: the broker's, unless the topic's records show that they
        were hashed over fewer partitions, as after an upgrade from a release that kept no widths.
        Raises KafkaError if no broker answers.
        """
        found = await self._producer.partitions({topic: self.kept.get(topic, 1) for topic in topics})
        if new := found.keys() - self.kept.keys():
            names = sorted(new)
            used = [await used_width(self._producer.access, name, found[name]) for name in names]
            await session.execute(QUERIES["keep_widths"], names, used)
            # Not by RETURNING: another copy, or `topics grow`, may have written the row a moment ago.
            for row in await session.fetch(QUERIES["read_widths"], names):
                self._take(row)
        for topic in topics & found.keys():
            self._compare(topic, found[topic])
        return {topic for topic in found if topic not in self._growing and topic not in self._narrow}

    def _take(self, row: asyncpg.Record) -> None:
        self.kept[row["topic"]] = row["partitions"]
        self._growing.pop(row["topic"], None)
        if row["grows_to"] is not None:
            self._growing[row["topic"]] = row["grows_to"]

    def _compare(self, topic: str, found: int) -> None:
        if found >= self.kept[topic]:
            self._narrow.pop(topic, None)
        elif self._narrow.get(topic) != found:
            self._narrow[topic] = found
            log.critical("topic is narrower than kept", topic=topic, partitions=found, kept=self.kept[topic])
