"""What a restore finds on the topics: records that units have got, and of which nothing says so."""

import datetime as dt

from services.routing.restoring import undelivered
from shared.contracts.base import EventData
from shared.contracts.golden import golden
from shared.contracts.routing import ActionResult, CaseOffered, DeliveredRecord, DeliverySucceeded
from shared.ids import new_id
from shared.kafka.records import RawRecord
from shared.restore.said import SaidEvent

NOW = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)


def said(data: type[EventData], identifier: str, **changes: object) -> SaidEvent:
    value = golden(data.contract).value
    event = data.contract.parse(value)
    changed = {"id": identifier, "data": event.data.model_copy(update=changes)}
    record = RawRecord("t.department.water.v1", 0, 0, 0, b"case", value, ())
    return SaidEvent(data.contract, event.model_copy(update=changed), record)


def test_a_record_that_an_event_states_beside_another_is_delivered() -> None:
    offers = [said(CaseOffered, new_id(NOW)) for _ in range(3)]
    first, second, third = (offer.event.id for offer in offers)
    delivered = said(DeliverySucceeded, new_id(NOW), record=first)
    other = DeliveredRecord.model_validate(delivered.event.data.model_dump() | {"record": second})
    delivered = said(DeliverySucceeded, delivered.event.id, record=first, others=(other,))
    assert [one.event.id for one in undelivered([*offers, delivered])] == [third]


def test_a_refused_result_is_not_stated_again_since_not_every_one_was() -> None:
    results = [said(ActionResult, new_id(NOW), accepted=accepted) for accepted in (True, False)]
    assert undelivered(results) == results[:1]
