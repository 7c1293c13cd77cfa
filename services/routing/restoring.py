"""Takes back what routing had said after its backup: which records units have got."""

from collections.abc import Collection, Sequence

import orjson

from services.routing.deliveries import on_delivered
from shared.contracts.routing import DeliverySucceeded
from shared.kafka.client import RecordMetadata
from shared.outbox.relay import Row
from shared.restore.said import SaidEvent
from shared.unit_of_work.transaction import Tx


def recorded(facts: Sequence[SaidEvent]) -> dict[str, str]:
    """The ids of the records whose delivery was stated, each with the id of that fact."""
    deliveries = [said.event for said in facts if isinstance(said.event.data, DeliverySucceeded)]
    return {event.data.record: event.id for event in deliveries}


async def state_deliveries(tx: Tx, facts: Sequence[SaidEvent], repeated: Collection[str]) -> int:
    """States the deliveries of `repeated` records that are on their topics and were not stated; how many.

    The subjects of `facts` must be locked.
    """
    known = recorded(facts)
    missing = [
        said
        for said in facts
        if said.contract.kind == "record" and said.event.id in repeated and said.event.id not in known
    ]
    await on_delivered(tx, [(_row(said), _metadata(said)) for said in missing])
    return len(missing)


def _row(said: SaidEvent) -> Row:
    event, record = said.event, said.record
    unit = event.source.rpartition("/")[2]
    delivery = {"unit": unit, "subject": event.subject, "id": event.id, "type": event.type}
    return Row(0, 0, record.topic, event.subject, record.value or b"", None, orjson.dumps(delivery).decode())


def _metadata(said: SaidEvent) -> RecordMetadata:
    return RecordMetadata(said.record.partition, said.record.offset)
