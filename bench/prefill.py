"""Records of real shape on the service topics, for the log alone: received, dispatched, delivered."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from bench.sample import Samples
from shared.clock import machine_now
from shared.contracts import registry  # noqa: F401  (registers every type)
from shared.contracts.addresses import topic_name
from shared.contracts.base import EventData
from shared.contracts.inquiry import Deadline, InquiryReceived
from shared.contracts.routing import CaseDispatched, DeliverySucceeded
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import case_number, derived_id, moment_of, new_id
from shared.kafka.client import Producer
from shared.kafka_access import KafkaAccess
from shared.policy.model import Pack

_WAVE = 1500
_NO_HASH = "0" * 64
_KINDS = 3

Record = tuple[str, bytes, bytes, bytes | None]


async def prefill(access: KafkaAccess, namespace: str, pack: Pack, records: int) -> None:
    """Puts `records` (a multiple of three) on the topics of inquiry and routing."""
    producer = Producer(access, "bench-prefill")
    await producer.start()
    try:
        waiting: list[Record] = []
        for record in sample_records(namespace, pack, records):
            waiting.append(record)
            if len(waiting) >= _WAVE:
                waiting = await _send(producer, waiting)
        while waiting:
            waiting = await _send(producer, waiting)
    finally:
        await producer.stop()


async def _send(producer: Producer, rows: list[Record]) -> list[Record]:
    """Rows that did not fit into their partition's batch are sent again, in order."""
    outcome = await producer.publish(rows)
    if outcome.failed:
        raise RuntimeError(f"the broker refuses: {outcome.failed}")
    sent = {index for index, _ in outcome.sent}
    return [row for index, row in enumerate(rows) if index not in sent]


def sample_records(namespace: str, pack: Pack, records: int) -> Iterator[Record]:
    """Topic, key, value and words of `records` (a multiple of three), by case."""
    now = machine_now()
    samples = Samples(pack, now.date(), seed=3)
    unit = pack.departments[0].code
    units_topic = topic_name(namespace, "department", unit)
    inquiry, routing = topic_name(namespace, "inquiry"), topic_name(namespace, "routing")
    zone = ZoneInfo(pack.timezone)
    for _ in range(records // _KINDS):
        case, concern = new_id(now), samples.take(1)[0].concern
        received = InquiryReceived(
            number=case_number(case, zone),
            kind=concern.kind,
            service_code=concern.service_code,
            area=concern.area,
            channel="api",
            secret_hash=_NO_HASH,
            deadline=Deadline(due=now, day_zero=now, amount=5, day_count="working_days"),
        )
        words = encode_words(concern.words)
        dispatched = CaseDispatched(lead=unit, rule="bench", attempt=1, sign_due=now)
        delivered = DeliverySucceeded(
            unit=unit,
            record=derived_id(case, "record"),
            record_type="civic.assignment.offered.v1",
            topic=units_topic,
            partition=0,
            offset=1,
            hash=_NO_HASH,
        )
        key = case.encode()
        yield inquiry, key, _value(pack, received, case, words), words
        yield routing, key, _value(pack, dispatched, case), None
        yield routing, key, _value(pack, delivered, case), None


def _value(pack: Pack, facts: EventData, case: str, words: bytes | None = None) -> bytes:
    contract, now = facts.contract, moment_of(case)
    draft = Draft(
        id=derived_id(case, contract.type),
        source=f"/services/{contract.writer}",
        subject=case,
        time=now,
        sequence=2 if isinstance(facts, DeliverySucceeded) else 1,
        epoch=1,
        key=case,
        correlation=case,
        causation=case,
        effective=now,
        actor=f"service:{contract.writer}",
        policy=pack.version,
        jurisdiction=pack.jurisdiction,
        data=facts,
    )
    return encode_value(draft, words)
