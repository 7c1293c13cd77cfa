"""Takes back what routing had said after its backup: which records units have got."""

from collections.abc import Iterable

import orjson

from services.routing.deliveries import on_delivered
from shared.contracts.routing import ActionResult, DeliverySucceeded
from shared.kafka.client import RecordMetadata
from shared.outbox.rows import Row
from shared.restore.said import SaidEvent
from shared.unit_of_work.transaction import Tx


def undelivered(facts: Iterable[SaidEvent]) -> list[SaidEvent]:
    """The records among the facts whose delivery is not: routing ended between the two.

    Without refused results, since not all of those are stated (`domain/decisions.py: MOST_REFUSALS`).
    """
    all_ = list(facts)
    deliveries = (said.event.data for said in all_ if isinstance(said.event.data, DeliverySucceeded))
    stated = {record for data in deliveries for record in data.records}
    records = (said for said in all_ if said.contract.kind == "record" and not _is_refusal(said))
    return [said for said in records if said.event.id not in stated]


def _is_refusal(said: SaidEvent) -> bool:
    return isinstance(said.event.data, ActionResult) and not said.event.data.accepted


async def state_deliveries(tx: Tx, records: Iterable[SaidEvent]) -> None:
    """States where these records are, as the relay would have. Their subjects must be locked."""
    await on_delivered(tx, [(_row(said), _metadata(said)) for said in records])


def _row(said: SaidEvent) -> Row:
    event, record = said.event, said.record
    unit = event.source.rpartition("/")[2]
    delivery = {"unit": unit, "subject": event.subject, "id": event.id, "type": event.type}
    return Row(0, 0, record.topic, event.subject, record.value or b"", None, orjson.dumps(delivery).decode())


def _metadata(said: SaidEvent) -> RecordMetadata:
    return RecordMetadata(said.record.partition, said.record.offset)
