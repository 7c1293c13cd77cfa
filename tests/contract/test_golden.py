"""The committed examples: valid CloudEvents, valid by their schemas, read by the models without loss."""

import datetime as dt
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic import Field

from shared.contracts.base import (
    TYPE_PATTERN,
    Code,
    Contract,
    Digest,
    EventData,
    Identifier,
    Moment,
    NoWords,
    Text,
    UnitCode,
    words_hash,
)
from shared.contracts.golden import _example
from shared.contracts.registry import REGISTRY
from tests.paths import REPO

FOLDER = REPO / "contracts"
CONTRACTS = list(REGISTRY.values())
EXAMPLES = sorted(
    path for path in (FOLDER / "golden").glob("*.json") if not path.name.endswith(".words.json")
)

every_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.type)
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
# A type that was given words after its example was published keeps that example, which has none.
WORDS_CAME_LATER = {"civic.person.contact_read.v1"}
with_words = pytest.mark.parametrize(
    "contract",
    [
        contract
        for contract in CONTRACTS
        if contract.words is not NoWords and contract.type not in WORDS_CAME_LATER
    ],
    ids=lambda contract: contract.type,
)


def value_of(contract: Contract) -> bytes:
    return (FOLDER / "golden" / f"{contract.type}.json").read_bytes()


def words_of(contract: Contract) -> bytes:
    return (FOLDER / "golden" / f"{contract.type}.words.json").read_bytes()


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / "schemas" / f"{name}.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def cloudevent_faults(event: dict[str, Any]) -> list[str]:
    """What CloudEvents 1.0 and its JSON format forbid in an event."""
    faults = [
        f"{name} is missing or empty"
        for name in ("id", "source", "specversion", "type")
        if not isinstance(event.get(name), str) or not event[name]
    ]
    for name, value in event.items():
        if not re.fullmatch(r"[a-z0-9]{1,20}", name):
            faults.append(f"{name} is no name of an attribute")
        if name == "data":
            continue
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            if not -(2**31) <= value < 2**31:
                faults.append(f"{name} is no 32-bit integer")
        elif not isinstance(value, str):
            faults.append(f"{name} has a type that no attribute has")
    if event.get("specversion") != "1.0":
        faults.append("specversion is not 1.0")
    if "time" in event and dt.datetime.fromisoformat(event["time"]).tzinfo is None:
        faults.append("time has no offset")
    if re.search(r"\s", str(event.get("source"))):
        faults.append("source is no URI reference")
    return faults


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """The members of `before` that are not in `after`, or are there with another value."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            fault
            for name, value in before.items()
            for fault in (
                lost(value, after[name], f"{path}.{name}") if name in after else [f"{path}.{name} is gone"]
            )
        ]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


@every_contract
def test_every_type_has_an_example_and_a_schema_that_it_satisfies(contract: Contract) -> None:
    validator(contract.type).validate(json.loads(value_of(contract)))


@every_example
def test_every_example_ever_published_is_read_without_a_loss(path: Path) -> None:
    value = path.read_bytes()
    event = REGISTRY[path.stem].parse(value)
    assert lost(json.loads(value), event.model_dump(mode="json")) == []


@every_contract
def test_every_example_is_a_cloudevent(contract: Contract) -> None:
    assert re.fullmatch(TYPE_PATTERN, contract.type)
    assert cloudevent_faults(json.loads(value_of(contract))) == []


@with_words
def test_words_begin_with_a_salt_and_hash_to_the_values_wordshash(contract: Contract) -> None:
    words = words_of(contract)
    content = json.loads(words)
    assert next(iter(content)) == "salt"
    validator(f"{contract.type}.words").validate(content)
    read = contract.words.model_validate_json(words).model_dump(mode="json")
    assert lost({name: value for name, value in content.items() if name != "salt"}, read) == []
    assert json.loads(value_of(contract))["wordshash"] == words_hash(words)


@every_contract
def test_a_type_without_words_has_neither_words_nor_a_hash_of_them(contract: Contract) -> None:
    has_words = contract.words is not NoWords
    assert (FOLDER / "schemas" / f"{contract.type}.words.json").exists() == has_words
    has_words = has_words and contract.type not in WORDS_CAME_LATER
    assert ("wordshash" in json.loads(value_of(contract))) == has_words
    assert (FOLDER / "golden" / f"{contract.type}.words.json").exists() == has_words


def test_wordshash_is_sha256_over_the_byte_3_and_the_words() -> None:
    assert words_hash(b'{"salt":"x"}') == hashlib.sha256(b'\x03{"salt":"x"}').hexdigest()


def test_every_example_has_a_salt_of_its_own() -> None:
    salts = [
        json.loads(path.read_bytes()).get("salt")
        for path in (FOLDER / "golden").glob("*.json")
        if not path.name.startswith(("civic.action.", "civic.contact.stated.v1.json"))
    ]
    assert None not in salts
    assert len(set(salts)) == len(salts)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"source": None},
        {"partition_key": "x"},
        {"sequence": ["1"]},
        {"epoch": 2**31},
        {"specversion": "0.3"},
        {"time": "2026-11-24T01:30:00"},
    ],
)
def test_the_check_for_cloudevents_finds_what_is_none(change: dict[str, Any]) -> None:
    event = json.loads(value_of(REGISTRY["civic.inquiry.received.v1"]))
    assert cloudevent_faults({**event, **change}) != []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "civic.inquiry.closed.v1"),
        ("source", "/services/routing"),
        ("sequence", "4"),
        ("sequence", None),
        ("data", {}),
        ("wordshash", "abc"),
    ],
)
def test_a_schema_refuses_what_its_writer_never_writes(name: str, value: object) -> None:
    event = json.loads(value_of(REGISTRY["civic.inquiry.received.v1"]))
    with pytest.raises(ValidationError):
        validator("civic.inquiry.received.v1").validate({**event, name: value})


@pytest.mark.parametrize("name", ["specversion", "salt", "sequence", "dataschema", "partitionkey"])
def test_a_fact_without_what_our_services_promise_is_refused(name: str) -> None:
    event = json.loads(value_of(REGISTRY["civic.inquiry.received.v1"]))
    del event[name]
    with pytest.raises(ValidationError):
        validator("civic.inquiry.received.v1").validate(event)


def test_a_units_action_needs_no_more_than_cloudevents_asks_for() -> None:
    event = json.loads(value_of(REGISTRY["civic.action.sign.v1"]))
    needed = ("specversion", "id", "source", "type", "subject", "time", "data")
    validator("civic.action.sign.v1").validate({name: event[name] for name in needed})


def test_a_loss_is_seen() -> None:
    assert lost({"a": {"b": 1, "c": 2}}, {"a": {"b": 2}}) == [".a.b: 1 became 2", ".a.c is gone"]


class NewFields(EventData):
    """Fields with names that no other type has."""

    supervisor: UnitCode
    ticket: Identifier
    checksum: Digest
    escalated_at: Moment
    level: Annotated[int, Field(ge=1, le=3)]
    weight: Annotated[float, Field(ge=0, le=1)]
    remark: Annotated[Text, Field(max_length=2)] | None = None
    tags: tuple[Code, ...] = ()
    counts: dict[Literal["lead", "co"], int]
    reference: Annotated[Text, Field(pattern=r"^X-[0-9]+$", examples=["X-12"])]


def test_a_field_with_a_new_name_gets_an_example_from_its_type() -> None:
    example = _example(NewFields)
    assert NewFields.model_validate(example).model_dump(exclude_none=True).keys() == example.keys()
    assert example["reference"] == "X-12"
    assert example == _example(NewFields)


def test_a_field_that_no_general_example_fits_asks_for_one() -> None:
    class Odd(EventData):
        plate: Annotated[str, Field(pattern=r"^[A-Z]{2} [0-9]{4}$")]

    with pytest.raises(LookupError, match=r"'plate': give it Field\(examples"):
        _example(Odd)
