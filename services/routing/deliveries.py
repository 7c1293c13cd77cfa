"""A record that Kafka has acknowledged: said in the transaction that takes it out of the outbox."""

import hashlib
from collections.abc import Sequence

import orjson

from shared.contracts.routing import DeliverySucceeded
from shared.kafka.client import RecordMetadata
from shared.outbox.relay import Row
from shared.unit_of_work.transaction import Tx


def touched_by(row: Row) -> str:
    """The aggregate that the delivery's event is about: the record's own subject, which is its key."""
    return row.key


async def on_delivered(tx: Tx, delivered: Sequence[tuple[Row, RecordMetadata]]) -> None:
    """Says for each record where it stands and the SHA-256 of its bytes: that is what the log keeps of it."""
    for row, place in delivered:
        record = orjson.loads(row.delivery or "{}")
        facts = DeliverySucceeded(
            unit=record["unit"],
            record=record["id"],
            record_type=record["type"],
            topic=row.topic,
            partition=place.partition,
            offset=place.offset,
            hash=hashlib.sha256(row.value).hexdigest(),
        )
        tx.emit(facts, subject=record["subject"], actor="service:routing", causation=record["id"])
