"""Every field of free text inside a value is among the redacted fields, so that an erasure removes it."""

from typing import Any

import pytest

from shared.contracts import registry  # noqa: F401
from shared.contracts.base import REGISTRY, Contract

CODES_ARE_SHORTER = 200


def _is_free_text(schema: Any) -> bool:
    """Whether a field's schema has a long text anywhere."""
    if isinstance(schema, dict):
        return schema.get("maxLength", 0) > CODES_ARE_SHORTER or any(map(_is_free_text, schema.values()))
    return isinstance(schema, list) and any(map(_is_free_text, schema))


@pytest.mark.parametrize("contract", REGISTRY.values(), ids=lambda c: c.type)
def test_free_text_inside_a_value_is_a_redacted_field(contract: Contract) -> None:
    schema = contract.data_type.model_json_schema()
    words = {name for name, one in schema.get("$defs", {}).items() if _is_free_text(one)}
    fields = schema.get("properties", {})
    free = {
        name
        for name, field in fields.items()
        if _is_free_text(field) or any(f'"#/$defs/{one}"' in str(field).replace("'", '"') for one in words)
    }
    assert free <= set(contract.redacted_fields)
    assert set(contract.redacted_fields) <= fields.keys()
    if contract.kind in ("fact", "request"):
        assert free == set()


def test_words_in_a_required_field_can_be_replaced() -> None:
    """`shared.unit_of_work.erasure` puts a text there, so that the event can still be read and answered."""
    for contract in REGISTRY.values():
        for name in contract.redacted_fields:
            field = contract.data_type.model_fields[name]
            assert not field.is_required() or field.annotation is str
