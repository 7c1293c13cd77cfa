"""Helpers for the tests of imports: the command as a process, a city at rest, the records on its topics."""

import asyncio
import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from harness.installation import Installation
from harness.schema import SECRET
from shared.kafka_access import KafkaAccess
from shared.settings import SERVICES
from tests.paths import REPO, SHARED, needed

BALTIMORE = SHARED / "data" / "baltimore311" / "311_sample.csv"
PETITIONS = SHARED / "data" / "petitions" / "hot_4326.csv"
MAPPINGS = REPO / "imports"


def rows_of(file: Path) -> list[dict[str, str]]:
    with needed(file).open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def digest(text: str) -> str:
    """SHA-256, to compare petitions without printing them when a test fails."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Ran:
    code: int
    summary: dict[str, Any]
    stderr: str


class Command:
    """Runs `civicloom import` as an operator would: as a process, with the environment of the service."""

    def __init__(self, database_url: str, folder: Path, namespace: str = "civic") -> None:
        self._folder = folder
        self.program: tuple[str, ...] = (sys.executable, "-m", "services.cli")
        self._environment = {
            "DATABASE_URL": database_url,
            "TOPIC_NAMESPACE": namespace,
            "SECRET_KEY": SECRET,
            "PYTHONPATH": str(REPO),
        }

    @property
    def report(self) -> Path:
        return self._folder / "rejected.csv"

    @property
    def rejected(self) -> list[dict[str, str]]:
        return rows_of(self.report) if self.report.exists() else []

    def start(self, file: Path, mapping: Path, pack: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                *(*self.program, "import", str(file)),
                *("--map", str(mapping), "--report", str(self.report), "--json"),
            ],
            env=os.environ | self._environment | {"PACK": pack},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def run(self, file: Path, mapping: Path, pack: str) -> Ran:
        return await self.end(self.start(file, mapping, pack))

    async def end(self, process: "subprocess.Popen[str]") -> Ran:
        out, err = await asyncio.to_thread(process.communicate, timeout=300)
        return Ran(process.returncode, json.loads(out) if out else {}, err)


async def kill_after(process: "subprocess.Popen[str]", pool: asyncpg.Pool, source: str, count: int) -> None:
    """Kills the process (SIGKILL) once `count` rows of the source are in the system."""
    query = "SELECT count(*) FROM inquiry.inquiry WHERE external_source = $1"
    while await pool.fetchval(query, source) < count:
        assert process.poll() is None, "it ended before it could be killed"
        await asyncio.sleep(0.01)
    process.kill()
    await asyncio.to_thread(process.communicate)


async def nothing_is_left_of_imports(pool: asyncpg.Pool) -> bool:
    """Whether the tables that an import works with are empty."""
    tables = ("inquiry.import_progress", "inquiry.import_rejected")
    return not any([await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


async def read_topics(access: KafkaAccess, topics: Iterable[str]) -> list[ConsumerRecord]:
    """Every record on the topics now."""
    async with AIOKafkaConsumer(**access.options(), enable_auto_commit=False) as consumer:
        ends = await _end_offsets(consumer, topics)
        unread = {partition for partition, end in ends.items() if end}
        consumer.assign(list(ends))
        await consumer.seek_to_beginning()
        found: list[ConsumerRecord] = []
        while unread:
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                found += records
                if records[-1].offset + 1 >= ends[partition]:
                    unread.discard(partition)
        return found


async def _end_offsets(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> dict[TopicPartition, int]:
    wanted = list(topics)
    await consumer._client.set_topics(wanted)
    partitions = []
    for topic in wanted:
        numbers = consumer.partitions_for_topic(topic)
        assert numbers, f"no topic {topic}"
        partitions += [TopicPartition(topic, number) for number in numbers]
    return dict(await consumer.end_offsets(partitions))


async def at_rest(city: Installation, pool: asyncpg.Pool, seconds: float = 300) -> None:
    """Waits until every outbox is empty, every service has read everything, and nothing is parked."""
    topics = [f"{city.namespace}.{service}.v1" for service in SERVICES]
    deadline = asyncio.get_running_loop().time() + seconds
    async with AIOKafkaConsumer(**city.access.options(), enable_auto_commit=False) as consumer:
        await _end_offsets(consumer, topics)
        calm = 0
        while calm < 2:  # twice: an event may be between a cursor and an outbox at the moment of the check
            unrest = await _unrest(pool, consumer, topics)
            calm = calm + 1 if not unrest else 0
            assert asyncio.get_running_loop().time() < deadline, f"no rest after {seconds:.0f} s: {unrest}"
            await asyncio.sleep(0.3)


async def _unrest(pool: asyncpg.Pool, consumer: AIOKafkaConsumer, topics: list[str]) -> list[str]:
    tables = [f"{one}.{table}" for one in SERVICES for table in ("outbox", "outbox_aside", "parked_key")]
    found = [table for table in tables if await pool.fetchval(f"SELECT count(*) FROM {table}")]
    cursors = await pool.fetch(
        "SELECT topic, partition, next_offset FROM audit.log_cursor UNION ALL "
        + " UNION ALL ".join(f"SELECT topic, partition, next_offset FROM {one}.cursor" for one in SERVICES)
    )
    partitions = [
        TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()
    ]
    ends = await consumer.end_offsets(partitions)
    behind = [
        row
        for row in cursors
        if row["next_offset"] < ends.get(TopicPartition(row["topic"], row["partition"]), 0)
    ]
    unread = {p for p, end in ends.items() if end} - {
        TopicPartition(row["topic"], row["partition"]) for row in cursors
    }
    return found + [row["topic"] for row in behind] + [p.topic for p in unread]


async def offers(city: Installation) -> dict[str, list[dict[str, Any]]]:
    """The offers on each unit's topic, as its own system would read them, by unit.

    A killed relay sends again what it does not know to be sent: duplicates are dropped by their id.
    """
    unit_of = {f"{city.namespace}.department.{unit}.v1": unit for unit in city.units}
    found: dict[str, dict[str, Any]] = {unit: {} for unit in city.units}
    for record in await read_topics(city.access, unit_of):
        event = orjson.loads(record.value)
        if event["type"] == "civic.department.case_offered.v1":
            found[unit_of[record.topic]][event["id"]] = event
    return {unit: list(events.values()) for unit, events in found.items()}


async def external_ids(pool: asyncpg.Pool, source: str) -> dict[str, str]:
    """The ids in the source by inquiry id."""
    query = "SELECT id, external_id FROM inquiry.inquiry WHERE external_source = $1"
    return {row["id"]: row["external_id"] for row in await pool.fetch(query, source)}
