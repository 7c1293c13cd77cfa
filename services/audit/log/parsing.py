"""Parses records before they are logged: pure, so that it can be done ahead of time.

The log takes every record. One that is not an event of ours, or that its topic's service may not have
written, is logged as `unparseable`; the reason is stored privately.
"""

import asyncio
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from services.audit.log.entry import commitment, salted_commitment
from shared.contracts.base import ordinal, words_hash
from shared.kafka.records import RawRecord

ERASED = "civic.inquiry.erased.v1"
ERASER = "/services/inquiry"
SALT_BYTES = 16
_STEP = 64

# Narrow on purpose: `type` and `source` are public forever.
_TYPE = re.compile(r"(?=.{1,100}\Z)civic(\.[a-z0-9_]+)+\.v[1-9][0-9]*", re.ASCII)
_SOURCE = re.compile(r"/services/([a-z]+)(/departments/[a-z0-9-]{1,64})?", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SEQUENCE = re.compile(r"[0-9]{10}", re.ASCII)
_MAX_EPOCH = 9 * 10**8  # epoch * 10^10 + sequence fits a bigint


SequenceKey = tuple[int, str, int]
"""A subject's number, a source, and an ordinal in that source's sequence about the subject."""


class EventAttributes(NamedTuple):
    """The attributes of an event that the log uses.

    `ordinal` is epoch and sequence as one number. `words` came in the record's header and match `wordshash`;
    `words_refused` if they did not. `correlation` is None if it is the subject.
    """

    event_id: str
    source: str
    type: str
    subject: str
    epoch: int
    sequence: int
    ordinal: int
    words: bytes | None
    words_refused: bool
    correlation: str | None = None


class PreparedRecord(NamedTuple):
    """A record, its commitment, and its attributes, or else the fault for which it is `unparseable`.

    `salt` (16 bytes) is generated here; it is part of the commitment only if there are no attributes.
    """

    record: RawRecord
    commitment: str
    attributes: EventAttributes | None
    fault: str | None = None
    salt: bytes = b""

    @property
    def subject(self) -> str:
        """The subject whose key seals the record's words.

        Bytes that cannot be parsed may hold anything about anybody: each such record has a key of its own.
        """
        if self.attributes is not None:
            return self.attributes.subject
        return f"unparseable/{self.record.topic}/{self.record.partition}/{self.record.offset}"


class _Fault(Exception):
    """Why a record is not an event that its topic may carry."""


def prepare(records: Iterable[RawRecord]) -> list[PreparedRecord]:
    """Parse and hash records; never raises."""
    return [_prepare(record) for record in records]


async def prepare_ahead(records: Sequence[RawRecord]) -> list[PreparedRecord]:
    """Like `prepare`, in steps of half a millisecond: run it beside `append`, while PostgreSQL works.

    A thread is slower: it holds the interpreter for 5 ms at a time, at each of append's round trips.
    """
    prepared: list[PreparedRecord] = []
    for start in range(0, len(records), _STEP):
        prepared += prepare(records[start : start + _STEP])
        await asyncio.sleep(0)
    return prepared


def _prepare(record: RawRecord) -> PreparedRecord:
    value = record.value or b""
    try:
        attributes = _read(record, value)
    except _Fault as fault:
        salt = secrets.token_bytes(SALT_BYTES)
        return PreparedRecord(record, salted_commitment(salt, value), None, str(fault), salt)
    return PreparedRecord(record, commitment(value), attributes)


def _read(record: RawRecord, value: bytes) -> EventAttributes:
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _Fault(f"not JSON: {error}") from None
    if not isinstance(event, dict):
        raise _Fault("not a JSON object")
    words = record.header("words")
    fits = words is not None and words_hash(words) == event.get("wordshash")
    epoch, sequence = _epoch(event), int(_matching(event, "sequence", _SEQUENCE))
    subject = _subject(event)
    return EventAttributes(
        event_id=_id(event),
        source=_source(event, record.topic),
        type=_matching(event, "type", _TYPE),
        subject=subject,
        epoch=epoch,
        sequence=sequence,
        ordinal=ordinal(epoch, sequence),
        words=words if fits else None,
        words_refused=words is not None and not fits,
        correlation=_correlation(event, subject),
    )


def _id(event: dict[str, Any]) -> str:
    salt = event.get("salt")
    if not isinstance(salt, str) or len(salt) < SALT_BYTES:
        raise _Fault("`salt` is missing: a commitment without it could be guessed")
    return _matching(event, "id", _ID)


def _source(event: dict[str, Any], topic: str) -> str:
    source = sys.intern(_matching(event, "source", _SOURCE))  # subjects keep it: one text for all of them
    service = source.split("/")[2]
    if not topic.endswith(f".{service}.v1"):
        raise _Fault(f"{service} does not write {topic}")
    return source


def _subject(event: dict[str, Any]) -> str:
    subject = event.get("subject")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200 or "\0" in subject:
        raise _Fault("`subject` is not a text of 1 to 200 characters")
    return subject


def _correlation(event: dict[str, Any], subject: str) -> str | None:
    correlation = event.get("correlationid")
    if correlation == subject or not isinstance(correlation, str):
        return None
    return correlation if 1 <= len(correlation) <= 200 and "\0" not in correlation else None


def _epoch(event: dict[str, Any]) -> int:
    epoch = event.get("epoch", 1)
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch <= _MAX_EPOCH:
        raise _Fault("`epoch` is not a number")
    return epoch


def _matching(event: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _Fault(f"`{name}` is missing or has another form")
    return value
