"""Encodes an event as bytes: the value and, separately, the words."""

import base64
import datetime as dt
from typing import NamedTuple

import orjson

from shared.contracts.base import EventData, Words, words_hash
from shared.errors import EventTooLarge
from shared.random_bytes import sixteen

MAX_BYTES = 900_000


class Draft(NamedTuple):
    """The envelope fields and the data of an event to encode. `policy` is the policy version."""

    id: str
    source: str
    subject: str
    time: dt.datetime
    sequence: int
    epoch: int
    key: str
    correlation: str
    causation: str | None
    effective: dt.datetime
    actor: str | None
    policy: str | None
    jurisdiction: str | None
    data: EventData


def encode_words(words: Words) -> bytes:
    """The words as UTF-8 JSON with a salt first, so that the hash of short words cannot be guessed."""
    return orjson.dumps({"salt": _salt(), **words.model_dump(mode="json", exclude_none=True)})


def encode_value(draft: Draft, words: bytes | None) -> bytes:
    """The CloudEvent as JSON bytes, with the type first, so that readers can skip it unparsed.

    `words` are the encoded words. Raises EventTooLarge if both together have more than 900 kB.
    """
    contract = draft.data.contract
    envelope: dict[str, object] = {
        "specversion": "1.0",
        "type": contract.type,
        "id": draft.id,
        "source": draft.source,
        "subject": draft.subject,
        "time": draft.time,
        "datacontenttype": "application/json",
        "dataschema": contract.schema_id,
        "sequence": f"{draft.sequence:010d}",
        "sequencetype": "Integer",
        "epoch": draft.epoch,
        "partitionkey": draft.key,
        "correlationid": draft.correlation,
        "effectivetime": draft.effective,
        "salt": _salt(),
    }
    if draft.causation is not None:
        envelope["causationid"] = draft.causation
    if draft.actor is not None:
        envelope["actor"] = draft.actor
    if draft.policy is not None:
        envelope["policyversion"] = draft.policy
    if draft.jurisdiction is not None:
        envelope["jurisdiction"] = draft.jurisdiction
    if words is not None:
        envelope["wordshash"] = words_hash(words)
    envelope["data"] = orjson.Fragment(
        draft.data.__pydantic_serializer__.to_json(draft.data, exclude_none=True)
    )
    value = orjson.dumps(envelope, option=orjson.OPT_UTC_Z)
    size = len(value) + len(words or b"")
    if size > MAX_BYTES:
        raise EventTooLarge(
            f"{contract.type} of {draft.subject} has {size} bytes, above the limit of {MAX_BYTES}"
        )
    return value


def _salt() -> str:
    return base64.urlsafe_b64encode(sixteen())[:22].decode()
