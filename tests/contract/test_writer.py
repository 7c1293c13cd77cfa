"""What our services really write satisfies the schemas that are published."""

import base64
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.contracts.base import Contract, NoWords, Words
from shared.contracts.golden import golden
from shared.contracts.registry import REGISTRY
from shared.contracts.schemas import event_schema, words_schema
from shared.events.encoding import Draft, encode_value, encode_words

OURS = [contract for contract in REGISTRY.values() if contract.kind != "action"]


def written(contract: Contract, words: bytes | None, *, whole: bool) -> dict[str, Any]:
    """The value of an event as the outbox gets it; `whole`: with every attribute that may be absent."""
    event = contract.parse(golden(contract).value)
    draft = Draft(
        id=event.id,
        source=event.source,
        subject=event.subject,
        time=event.time,
        sequence=1,
        epoch=1,
        key=event.subject,
        correlation=event.subject,
        causation=event.causationid if whole else None,
        effective=event.time,
        actor=event.actor if whole else None,
        policy=event.policyversion if whole else None,
        jurisdiction=event.jurisdiction if whole else None,
        data=event.data,
    )
    value: dict[str, Any] = json.loads(encode_value(draft, words))
    return value


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "sparse"])
@pytest.mark.parametrize("contract", OURS, ids=lambda contract: contract.type)
def test_what_is_written_satisfies_its_schema(contract: Contract, whole: bool) -> None:
    words = None
    if contract.words is not NoWords and whole:
        words = encode_words(contract.words.model_validate_json(golden(contract).words or b""))
        schema = words_schema(contract)
        assert schema is not None
        Draft202012Validator(schema).validate(json.loads(words))
    Draft202012Validator(event_schema(contract)).validate(written(contract, words, whole=whole))


def test_salts_are_16_random_bytes_and_words_begin_with_theirs() -> None:
    contract = REGISTRY["civic.inquiry.replied.v1"]
    words: Words = contract.words.model_validate({"text": "Done."})
    encoded = [encode_words(words) for _ in range(2)]
    salts = [
        *(json.loads(one)["salt"] for one in encoded),
        *(written(contract, one, whole=True)["salt"] for one in encoded),
    ]
    assert all(one.startswith(b'{"salt":"') for one in encoded)
    assert {len(base64.urlsafe_b64decode(salt + "==")) for salt in salts} == {16}
    assert len(set(salts)) == 4
