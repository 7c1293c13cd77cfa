"""The rows and records per inquiry, measured after a run: the floor moves the same amounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka_access import KafkaAccess

_SAMPLE = 200

# What stays, by schema; what inquiry adds when it learns of the dispatch is a hop, the rest is intake's.
_STORED = """
SELECT CASE WHEN schemaname = 'inquiry' AND relname <> 'step' THEN 'generator'
            WHEN schemaname = 'audit' THEN 'log' ELSE schemaname END AS hop,
       sum(n_tup_ins - n_tup_del)::bigint AS rows, sum(pg_table_size(relid))::bigint AS bytes
FROM pg_stat_user_tables
WHERE schemaname IN ('inquiry', 'routing', 'publisher', 'audit') AND n_tup_ins - n_tup_del > 100
GROUP BY 1
"""
_VALUE_BYTES = "SELECT avg(length(value))::int FROM audit.log_entry WHERE source = $1"
_WORDS_BYTES = "SELECT avg(length(words))::int FROM inquiry.received"


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows and bytes of a row by hop; `records` on units' topics; bytes of a record by topic. Per inquiry."""

    rows: dict[str, float]
    row_bytes: dict[str, int]
    records: float
    inquiry_bytes: int
    routing_bytes: int
    department_bytes: int

    @property
    def said(self) -> float:
        """Events of routing: the dispatch, and a delivery for each record."""
        return 1 + self.records


async def measure_shape(
    connection: asyncpg.Connection,
    access: KafkaAccess,
    departments: Sequence[str],
    inquiries: int,
    records: int,
) -> Shape:
    """The shape, from the tables and topics of a finished run."""
    # Statistics of other sessions arrive when these are idle, at the latest after some seconds.
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    rows = await connection.fetch(_STORED)
    value = await connection.fetchval(_VALUE_BYTES, "/services/inquiry")
    words = await connection.fetchval(_WORDS_BYTES)
    return Shape(
        rows={row["hop"]: row["rows"] / inquiries for row in rows},
        row_bytes={row["hop"]: int(row["bytes"] / row["rows"]) for row in rows},
        records=records / inquiries,
        inquiry_bytes=value + words,
        routing_bytes=await connection.fetchval(_VALUE_BYTES, "/services/routing"),
        department_bytes=await _record_bytes(access, departments),
    )


async def _record_bytes(access: KafkaAccess, topics: Sequence[str]) -> int:
    consumer: Any = AIOKafkaConsumer(
        **access.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        metadata = await consumer._client.fetch_all_metadata()
        consumer.assign([TopicPartition(t, p) for t in topics for p in metadata.partitions_for_topic(t)])
        found = await consumer.getmany(timeout_ms=5000, max_records=_SAMPLE)
        sizes = [len(record.value) for records in found.values() for record in records]
        return sum(sizes) // max(1, len(sizes))
    finally:
        await consumer.stop()
