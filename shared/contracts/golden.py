"""One example of every type with every field filled, for foreign readers' tests and for every later release.

A published example never changes. A new field needs no entry here: its value is the first of its
`Field(examples=[...])`, else that of `_BY_NAME`, else the first general example that its type accepts.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shared import ids, webhooks
from shared.contracts.base import Contract, Event, NoWords, words_hash
from shared.contracts.schemas import SERVICE_PREFIX

SUBJECT = "01a20b2c-89f0-7f01-8a2b-3c4d5e6f7081"
UNIT = "urban-management"
MOMENT = "2026-11-24T01:30:00.250000Z"

# The value of a field by its name, in whichever type: a name means one thing in the whole contract. A new
# field gets an entry only if a general example would mislead a reader.
_BY_NAME: dict[str, Any] = {
    "action": "oa-2026-000318",
    "actor": "role:clerk",
    "allowed": ["reply", "return"],
    "amount": 5,
    "approver": "person:approver-7",
    "area": "riverside",
    "attempt": 1,
    "attempts": 2,
    "body": "第一条 ... Article 1 ...",
    "by": "person:editor-3",
    "co": ["water-affairs"],
    "consumer": "routing",
    "cycle": 1,
    "day_count": "working_days",
    "day_zero": "2026-11-24T00:00:00Z",
    "dead_letter": 12,
    "detail": "data.text: Field required",
    "document_number": "Municipal Notice 2026 No. 14",
    "due": "2026-12-01T09:30:00Z",
    "editor": "person:editor-3",
    "effective_from": "2027-01-01T00:00:00Z",
    "email": "resident@example.org",
    "error": "rule_missing",
    "evaluate_until": "2026-12-09T01:30:00Z",
    "event_id": SUBJECT,
    "external_id": "24-00012345",
    "external_source": "hotline-archive",
    "failed": 3,
    "hash": hashlib.sha256(b"record").hexdigest(),
    "hint": UNIT,
    "inquiry": SUBJECT,
    "kind": "intake",
    "latitude": 31.2304,
    "lead": UNIT,
    "ledger_root": hashlib.sha256(b"ledger").hexdigest(),
    "longitude": 121.4737,
    "name": "Resident One",
    "note": "水又漏了。 It leaks again.",
    "notice": ids.derived_id(SUBJECT, "notice"),
    "number": ids.case_number(SUBJECT, ZoneInfo("Asia/Shanghai")),
    "offset": 40961,
    "operator": "person:operator-1",
    "original_time": "2026-11-20T07:05:00Z",
    "outcome": "evaluated",
    "partition": 3,
    "party": UNIT,
    "percent": 80,
    "phone": "+86 000 0000 0000",
    "place": "Linden Road 8, gate 2",
    "publisher": "person:approver-7",
    "rating": 4,
    "reader": "person:officer-5",
    "reason": "unreachable",
    "recipients": {"email": 120, "webhook": 3},
    "record": ids.derived_id(SUBJECT, "record"),
    "record_type": "civic.department.case_offered.v1",
    "replied_at": "2026-12-01T09:12:00Z",
    "reply_due": "2026-12-01T09:30:00Z",
    "rule": "street-lighting/riverside",
    "secret_hash": ids.secret_hash(ids.case_secret(b"golden", SUBJECT)),
    "sent": 120,
    "service_code": "street-lighting",
    "sign_due": "2026-11-24T09:30:00Z",
    "state": "in_progress",
    "step": "inquiry.replied",
    "summary": "What changes for residents of the old town.",
    "text": "路灯坏了三天。 The lamp has been out for three days.",
    "title": "路灯不亮 Street lamp out",
    "topic": "civic.department.urban-management.v1",
    "topics": ["street-lighting"],
    "unit": UNIT,
    "version": 2,
    "webhook": "https://resident.example.org/civicloom",
    "webhook_secret": webhooks.webhook_secret(b"golden", SUBJECT),
}


# Tried in this order, after the field's own name; no text type accepts a number.
_GENERAL = (UNIT, SUBJECT, hashlib.sha256(b"example").hexdigest(), "x", MOMENT, MOMENT[:10], 2, 1, 0.5, -1)


@dataclass(frozen=True, slots=True)
class Golden:
    """The exact bytes of a value and, if the type has words, of the words beside it."""

    value: bytes
    words: bytes | None


def golden(contract: Contract) -> Golden:
    """The example of one type; the same bytes on every call.

    Raises LookupError for a field that no general example fits, and pydantic's ValidationError for an example
    that does not fit its field.
    """
    words = None
    if contract.words is not NoWords:
        example = contract.words.model_validate(_example(contract.words)).model_dump(mode="json")
        words = _bytes({"salt": _salt(contract, "words"), **example})
    event: Event[Any] = Event[contract.data_type].model_validate(  # type: ignore[name-defined]
        {
            **_envelope(contract),
            "wordshash": words_hash(words) if words else None,
            "data": _example(contract.data_type),
        }
    )
    return Golden(_bytes(event.model_dump(mode="json", exclude_none=True)), words)


def _envelope(contract: Contract) -> dict[str, Any]:
    event = {
        "type": contract.type,
        "id": ids.derived_id(SUBJECT, contract.type),
        "source": SERVICE_PREFIX + contract.writer,
        "subject": SUBJECT,
        "time": MOMENT,
    }
    if contract.kind == "action":
        return {**event, "id": _BY_NAME["action"], "source": "/office-automation"}
    event |= {
        "dataschema": contract.schema_id,
        "partitionkey": SUBJECT,
        "correlationid": SUBJECT,
        "causationid": ids.derived_id(SUBJECT, "cause"),
        "effectivetime": "2026-11-24T01:29:58Z",
        "actor": _BY_NAME["actor"],
        "policyversion": "cn-city@3f9a0c1d2e4b",
        "jurisdiction": "cn-city",
    }
    if contract.kind == "contact":
        return event
    if contract.kind == "record":
        event["source"] = f"/services/routing/departments/{UNIT}"
    return {
        **event,
        "sequence": "0000000004",
        "sequencetype": "Integer",
        "salt": _salt(contract, "value"),
    }


def _example(model: type[BaseModel]) -> dict[str, Any]:
    return {
        name: field.examples[0] if field.examples else _value(name, _whole_type(field))
        for name, field in model.model_fields.items()
    }


def _whole_type(field: FieldInfo) -> Any:
    """The field's type with its constraints."""
    if not field.metadata:
        return field.annotation
    return Annotated.__class_getitem__((field.annotation, *field.metadata))  # type: ignore[attr-defined]


def _value(name: str, annotation: Any) -> Any:
    """A value for a field: what the type alone decides, else what `_BY_NAME` says, else a general example."""
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(bare) is Literal:
        return get_args(bare)[0]
    if type(None) in get_args(bare):
        return _value(name, next(one for one in get_args(bare) if one is not type(None)))
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return _example(bare)
    if bare is bool:
        return True
    return _BY_NAME[name] if name in _BY_NAME else _general_example(name, bare, annotation)


def _general_example(name: str, bare: Any, annotation: Any) -> Any:
    if get_origin(bare) in (tuple, list):
        return [_value(name, get_args(bare)[0])]
    if get_origin(bare) is dict:
        key, value = get_args(bare)
        return {_value(name, key): _value(name, value)}
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for candidate in (name.replace("_", "-"), *_GENERAL):
        try:
            adapter.validate_python(candidate)
        except ValidationError:
            continue
        return candidate
    raise LookupError(f"no general example fits the field {name!r}: give it Field(examples=[...])")


def _salt(contract: Contract, what: str) -> str:
    """A fixed salt, so that an example is the same every time; a real one is 16 random bytes."""
    salt = hashlib.sha256(f"{contract.type} {what}".encode()).digest()[:16]
    return base64.urlsafe_b64encode(salt).rstrip(b"=").decode()


def _bytes(example: dict[str, Any]) -> bytes:
    # Indented for review; a hash is over the bytes as they are.
    return (json.dumps(example, indent=2, ensure_ascii=False) + "\n").encode()
