"""Deliveries to units: records that Kafka has acknowledged become an event, one for a case."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.contracts.routing import CaseOffered, DeliverySucceeded
from shared.kafka.client import RecordMetadata
from shared.outbox.rows import Row
from shared.unit_of_work.transaction import Tx

_MOST_RECORDS = 100
"""Of one event. A dispatch has a few; a unit that floods a case with actions gets a result for each."""


def aggregate_of(row: Row) -> str:
    """The aggregate that `on_delivered` emits about, for the relay to lock: the record's subject, its key."""
    return row.key


async def on_delivered(tx: Tx, delivered: Sequence[tuple[Row, RecordMetadata]]) -> None:
    """Emits where each case's records are and the SHA-256 of their bytes; `tx` also deletes the outbox rows.

    The log keeps that hash and not the record, which contains personal text.
    """
    by_case: dict[str, list[dict[str, Any]]] = {}
    for row, metadata in delivered:
        record = orjson.loads(row.delivery or "{}")
        if record["type"] == CaseOffered.contract.type:
            tx.fulfil(record["subject"], "delivery", record["unit"])
        by_case.setdefault(record["subject"], []).append(_stated(row, metadata, record))
    for case, stated in by_case.items():
        for start in range(0, len(stated), _MOST_RECORDS):
            first, *others = stated[start : start + _MOST_RECORDS]
            data = DeliverySucceeded(**first, others=others or None)
            tx.emit(data, subject=case, actor="service:routing", causation=data.record)


def _stated(row: Row, metadata: RecordMetadata, record: Mapping[str, str]) -> dict[str, Any]:
    """The members of a DeliveredRecord."""
    return {
        "unit": record["unit"],
        "record": record["id"],
        "record_type": record["type"],
        "topic": row.topic,
        "partition": metadata.partition,
        "offset": metadata.offset,
        "hash": hashlib.sha256(row.value).hexdigest(),
    }
