"""Finds what units' topics have lost, and makes the offers again that their units have not answered."""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from services.resend import Lost, addresses_of
from services.routing.domain.case_file import Assignment, CaseFile
from services.routing.domain.dispatch import offer_of
from services.routing.queries import case_files, words
from shared.clock import machine_now
from shared.contracts.addresses import topic_name
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.inquiry import InquiryWords
from shared.contracts.routing import CaseOffered
from shared.events.encoding import Draft, encode_value
from shared.ids import derived_id, floor_id
from shared.kafka.history import records_since
from shared.kafka.topics import load_topics
from shared.packs import open_pack
from shared.unit_of_work.database import Database
from shared.unit_of_work.sent import SentEvent, emitted_ordinals, waiting_values

_OFFERED = CaseOffered.contract.type


class _Unit(NamedTuple):
    code: str
    topic: str
    source: str


class _Present(NamedTuple):
    """What a topic holds or will hold: subject and sequence of records, subject and attempt of offers."""

    places: set[tuple[str, int]]
    offers: set[tuple[str, int]]

    def add(self, values: Iterable[bytes | None], source: str) -> None:
        kept = list(values)
        self.places.update((one, number % ORDINALS_PER_EPOCH) for one, number in addresses_of(kept, source))
        self.offers.update(found for value in kept if (found := _offer(value)) is not None)


async def find_lost_offers(routing: Database, since: dt.datetime) -> list[Lost]:
    """What the units' topics should still hold of the cases since a moment, and do not: by topic.

    No log keeps these records. An offer that its unit has neither signed nor returned is made again from the
    tables: in its old place of the sequence, with another id and the deadlines of today. Everything else is
    listed under `nowhere`, and stands at the unit's desk.

    Raises KafkaError if the broker does not answer.
    """
    namespace = routing.settings.topic_namespace
    codes = [one.code for one in open_pack(routing.settings).departments if one.kafka]
    since = max(since, machine_now() - load_topics().retention("department"))
    found = []
    for code in codes:
        topic = topic_name(namespace, "department", code)
        unit = _Unit(code, topic, f"/services/routing/departments/{code}")
        lost = await _lost_of(routing, unit, since)
        if lost.found or lost.nowhere:
            found.append(lost)
    return found


async def _lost_of(routing: Database, unit: _Unit, since: dt.datetime) -> Lost:
    lost = Lost(unit.topic)
    emitted: dict[str, int] = {}
    # In this order: what was emitted by then waits in the outbox read next, or is on the topic read last.
    async for page in emitted_ordinals(routing.pool, unit.source, after=floor_id(since)):
        emitted |= page
    if not emitted:
        return lost
    present = _Present(set(), set())
    present.add(await waiting_values(routing.pool, unit.topic), unit.source)
    async for records in records_since(routing.settings.kafka, [unit.topic], since):
        present.add((record.value for record in records), unit.source)
    missing = {
        case: numbers
        for case, last in emitted.items()
        if (
            numbers := [n for n in range(1, last % ORDINALS_PER_EPOCH + 1) if (case, n) not in present.places]
        )
    }
    files, texts = await case_files(routing.pool, list(missing)), await words(routing.pool, list(missing))
    for case, numbers in missing.items():
        file = files.get(case)
        offer = None if file is None else _unanswered(file, unit.code)
        if file is not None and offer is not None and (case, offer.attempt) not in present.offers:
            # Whatever else is missing came before: a unit that has not answered was sent nothing since.
            epoch = emitted[case] // ORDINALS_PER_EPOCH
            place = epoch, numbers.pop()
            lost.found.append(_made_again(file, offer, texts.get(case), unit, place))
        lost.nowhere += [(case, number) for number in numbers]
    return lost


def _unanswered(file: CaseFile, unit: str) -> Assignment | None:
    offered = (one for one in file.assignments if one.unit == unit and one.state == "offered")
    return next(offered, None) if file.phase == "accepted" else None


def _made_again(
    file: CaseFile, offer: Assignment, text: InquiryWords | None, unit: _Unit, place: tuple[int, int]
) -> SentEvent:
    epoch, sequence = place
    co = tuple(one.unit for one in file.assignments if one.role == "co" and one.attempt == offer.attempt)
    data = offer_of(file, offer, text, co)
    draft = Draft(
        id=derived_id(file.id, data.contract.type, f"again {unit.code} {offer.attempt}"),
        source=unit.source,
        subject=file.id,
        time=offer.offered_at,
        sequence=sequence,
        epoch=epoch,
        key=file.id,
        correlation=file.id,
        causation=None,
        effective=offer.offered_at,
        actor="service:routing",
        policy=file.policy_version,
        jurisdiction=file.jurisdiction,
        data=data,
    )
    delivery = {"unit": unit.code, "subject": file.id, "id": draft.id, "type": data.contract.type}
    return SentEvent(
        file.id,
        epoch * ORDINALS_PER_EPOCH + sequence,
        encode_value(draft, None),
        None,
        orjson.dumps(delivery).decode(),
    )


def _offer(value: bytes | None) -> tuple[str, int] | None:
    """Subject and attempt of an offer; None for all other bytes."""
    try:
        event = orjson.loads(value or b"")
        return (event["subject"], event["data"]["attempt"]) if event["type"] == _OFFERED else None
    except (ValueError, KeyError, TypeError):
        return None
