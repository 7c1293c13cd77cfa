"""Deliveries to units: a record that Kafka has acknowledged becomes an event of its own."""

import hashlib
from collections.abc import Sequence

import orjson

from shared.contracts.routing import CaseOffered, DeliverySucceeded
from shared.kafka.client import RecordMetadata
from shared.outbox.relay import Row
from shared.unit_of_work.transaction import Tx


def aggregate_of(row: Row) -> str:
    """The aggregate that `on_delivered` emits about, for the relay to lock: the record's subject, its key."""
    return row.key


async def on_delivered(tx: Tx, delivered: Sequence[tuple[Row, RecordMetadata]]) -> None:
    """Emits where each record is and the SHA-256 of its bytes; `tx` also deletes the outbox rows.

    The log keeps that hash and not the record, which contains personal text.
    """
    for row, metadata in delivered:
        record = orjson.loads(row.delivery or "{}")
        data = DeliverySucceeded(
            unit=record["unit"],
            record=record["id"],
            record_type=record["type"],
            topic=row.topic,
            partition=metadata.partition,
            offset=metadata.offset,
            hash=hashlib.sha256(row.value).hexdigest(),
        )
        if record["type"] == CaseOffered.contract.type:
            tx.fulfil(record["subject"], "delivery", record["unit"])
        tx.emit(data, subject=record["subject"], actor="service:routing", causation=record["id"])
