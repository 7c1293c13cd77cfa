"""Decodes records. Peeks at the type first, so that unwanted types are skipped without parsing."""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from pydantic import ValidationError

from shared.clock import Clock
from shared.contracts.addresses import code_of
from shared.contracts.base import (
    FAMILIES,
    MAX_EPOCH,
    REGISTRY,
    TYPE_PATTERN,
    Contract,
    Event,
    EventData,
    Words,
    ordinal,
    words_hash,
)
from shared.errors import Undecodable, UnknownVersion
from shared.kafka.records import RawRecord

D_co = TypeVar("D_co", bound=EventData, covariant=True)

# Our own encoder writes the type first, so that the common case needs no parse.
_OUR_TYPE = re.compile(rb'\A\{"specversion":"1\.0","type":"([a-z0-9_.]{1,100})"')
_TYPE = re.compile(TYPE_PATTERN)
_MAX_FAULTS = 5


@dataclass(slots=True)
class IncomingEvent(Generic[D_co]):
    """An event with its words and its record. `effective` is the business time at which the broker got it.

    `ordinal` is epoch and sequence as one number; None for actions of units, which have no sequence.
    """

    event: Event[D_co]
    words: Words | None
    record: RawRecord
    effective: dt.datetime
    ordinal: int | None = field(init=False)

    def __post_init__(self) -> None:
        # Once: it is asked for five times on the way through a batch.
        event = self.event
        self.ordinal = None if event.sequence is None else ordinal(event.epoch, event.sequence)

    @property
    def data(self) -> D_co:
        return self.event.data

    @property
    def subject(self) -> str:
        return self.event.subject

    @property
    def id(self) -> str:
        return self.event.id


def peek_type(value: bytes) -> str:
    """The event's type, without parsing if our encoder wrote the value. Raises Undecodable."""
    match = _OUR_TYPE.match(value)
    if match:
        return match[1].decode()
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"the value is not JSON: {error}") from error
    event_type = found.get("type") if isinstance(found, dict) else None
    if not isinstance(event_type, str):
        raise Undecodable("the value is not a CloudEvent: it has no `type`")
    return event_type


def peek_data(record: RawRecord) -> dict[str, Any]:
    """The event's `data`, of which nothing is checked. Raises Undecodable if there is no such object."""
    try:
        found = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"the value is not JSON: {error}") from error
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, dict):
        raise Undecodable("the value is not a CloudEvent with an object as `data`")
    return data


def peek_field(record: RawRecord, name: str) -> str | None:
    """An envelope field such as `id` or `subject`, if the value has one of 1 to 200 characters; else None.

    Nothing else of the value is checked.
    """
    try:
        found = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    text = found.get(name) if isinstance(found, dict) else None
    return text if isinstance(text, str) and 0 < len(text) <= 200 and "\x00" not in text else None


def unreadable_subject(topic: str, partition: int) -> str:
    """The subject under which bytes without a readable subject are handled."""
    return f"unreadable:{topic}:{partition}"


def contract_of(value: bytes | None) -> Contract | None:
    """The contract of the event in `value`; None for an unknown type, which is skipped.

    Raises Undecodable, and UnknownVersion for another major version of a known type.
    """
    if value is None:
        raise Undecodable("the record has no value")
    event_type = peek_type(value)
    found = REGISTRY.get(event_type)
    if found is None and _TYPE.match(event_type) and event_type.rpartition(".")[0] in FAMILIES:
        raise UnknownVersion(event_type)
    return found


def decode(record: RawRecord, contract: Contract, clock: Clock) -> IncomingEvent[EventData]:
    """Parses value and words, and checks the words against the value's `wordshash`.

    Raises Undecodable with the faulty fields.
    """
    event = _parse_value(record, contract)
    words = decode_words(record, event, contract)
    return IncomingEvent(event, words, record, effective_time(record, clock))


def _parse_value(record: RawRecord, contract: Contract) -> Event[EventData]:
    try:
        event = contract.parse(record.value or b"")
    except ValidationError as error:
        raise Undecodable(f"{contract.type}: {_wrong(error)}") from error
    if not _belongs_on(record.topic, contract):
        raise Undecodable(
            f"{contract.type} does not belong on {record.topic}: only its writer's topic counts"
        )
    if contract.kind == "action":
        # Only the topic identifies the unit, since it alone may write to it. An event derived from the action
        # must not inherit a trace or a policy version that the unit has made up.
        event = event.model_copy(
            update={
                "source": record.topic,
                "sequence": None,
                "actor": f"unit:{code_of(record.topic)}",
                "correlationid": None,
                "policyversion": None,
                "jurisdiction": None,
            }
        )
    elif not 0 <= event.epoch <= MAX_EPOCH:
        raise Undecodable(f"{contract.type}: epoch: must be 0 to {MAX_EPOCH}")
    return event


def effective_time(record: RawRecord, clock: Clock) -> dt.datetime:
    """Business time at which the broker got the record. Raises Undecodable for one that no calendar holds.

    On a topic with CreateTime the sender chooses the timestamp.
    """
    try:
        return clock.effective(record.timestamp_ms)
    except (ValueError, OverflowError) as error:
        raise Undecodable(f"the record's timestamp {record.timestamp_ms} is in no calendar") from error


def decode_words(record: RawRecord, event: Event[EventData], contract: Contract) -> Words | None:
    """The words of a record; None if it has none, or they were erased. Raises Undecodable."""
    raw = record.header("words")
    if raw is None:
        return None
    if event.wordshash is None or words_hash(raw) != event.wordshash:
        raise Undecodable(f"{contract.type}: the words do not match `wordshash`")
    try:
        return contract.words.model_validate_json(raw)
    except ValidationError as error:
        raise Undecodable(f"{contract.type}: words: {_wrong(error)}") from error


def _wrong(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:_MAX_FAULTS]
    )


def _belongs_on(topic: str, contract: Contract) -> bool:
    if contract.kind == "action":
        return code_of(topic) is not None and topic.endswith(".actions.v1")
    return code_of(topic) is None and topic.endswith(f".{contract.topic}.v1")
