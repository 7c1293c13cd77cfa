"""Finds what a service's topic has lost, and sends it again: same id, same bytes, same sequence.

The log has kept the events of all four topics with their words, and inquiry the event of each intake. What
was lost before the log had read it, and is no intake, exists nowhere: it is listed.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from services.audit import kept
from services.audit.log.subjects import KeyBox
from services.inquiry.queries import receipts_from
from shared.contracts.addresses import topic_name
from shared.contracts.base import ORDINALS_PER_EPOCH, ordinal
from shared.ids import floor_id
from shared.kafka.history import records_since
from shared.unit_of_work.database import Database
from shared.unit_of_work.sent import SentEvent, emitted_ordinals, waiting_values

_PAGE = 5000


@dataclass(slots=True)
class Lost:
    """What a topic no longer holds. `nowhere` are subject and sequence of what nobody has kept."""

    topic: str
    found: list[SentEvent] = field(default_factory=list)
    nowhere: list[tuple[str, int]] = field(default_factory=list)


async def find_lost(owner: Database, audit: Database, since: dt.datetime) -> Lost:
    """What `owner` has emitted since a moment, on its own topic, and the topic does not hold.

    Raises KafkaError if the broker does not answer, and LogBroken if SECRET_KEY is not the log's.
    """
    service = owner.settings.service
    source, topic = f"/services/{service}", topic_name(owner.settings.topic_namespace, service)
    # In this order: what was emitted by then waits in the outbox read next, or is on the topic read last.
    unlogged = await _unlogged(owner, audit, source)
    present = await _present(owner, audit, source, topic, since)
    copies = await _copies(owner, audit, source, since)
    seen = {(subject, number % ORDINALS_PER_EPOCH) for subject, number in present | copies.keys()}
    return Lost(
        topic,
        found=[one for key, one in copies.items() if key not in present],
        nowhere=[one for one in unlogged if one not in seen],
    )


async def _unlogged(owner: Database, audit: Database, source: str) -> list[tuple[str, int]]:
    """Subject and sequence of what `owner` has emitted, whenever that was, and the log does not have."""
    missing: list[tuple[str, int]] = []
    async for page in emitted_ordinals(owner.pool, source):
        logged = await kept.logged_sequences(audit.pool, source, page)
        for subject, newest in page.items():
            known, last = logged.get(subject, set()), newest % ORDINALS_PER_EPOCH
            if len(known) < last:
                missing += [(subject, number) for number in range(1, last + 1) if number not in known]
    return missing


async def _present(
    owner: Database, audit: Database, source: str, topic: str, since: dt.datetime
) -> set[tuple[str, int]]:
    present = addresses_of(await waiting_values(owner.pool, topic), source)
    logged = {one: at for one, at in (await kept.next_offsets(audit.pool)).items() if one[0] == topic}
    async for records in records_since(owner.settings.kafka, [topic], since, logged):
        present |= addresses_of((record.value for record in records), source)
    return present


def addresses_of(values: Iterable[bytes | None], source: str) -> set[tuple[str, int]]:
    """Subject and ordinal of each event of `source` among these values."""
    return {found for value in values if (found := _address(value, source)) is not None}


async def _copies(
    owner: Database, audit: Database, source: str, since: dt.datetime
) -> dict[tuple[str, int], SentEvent]:
    copies: dict[tuple[str, int], SentEvent] = {}
    keys = KeyBox(audit.settings.key("audit subject keys"))
    async for page in kept.events_since(audit.pool, keys, source, since):
        copies |= {(one.subject, one.ordinal): SentEvent(*one) for one in page}
    if owner.settings.service == "inquiry":
        first = after = floor_id(since)
        while rows := await receipts_from(owner.pool, first, after, _PAGE):
            after = rows[-1][0]
            for _, value, words in rows:
                if (found := _address(value, source)) is not None:
                    copies.setdefault(found, SentEvent(*found, value, words))
    return copies


def _address(value: bytes | None, source: str) -> tuple[str, int] | None:
    """Subject and ordinal of an event of `source`; None for all other bytes."""
    try:
        event = orjson.loads(value or b"")
        if event["source"] != source:
            return None
        return event["subject"], ordinal(event.get("epoch", 1), event["sequence"])
    except (ValueError, KeyError, TypeError):
        return None
