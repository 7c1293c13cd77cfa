"""JSON Schemas (2020-12) of every type: the writer's promises, for readers in any language."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

from shared.contracts.base import Contract, Event, Kind, NoWords

Schema = dict[str, Any]

SERVICE_PREFIX = "/services/"

# Required by CloudEvents 1.0; the model has a default for `specversion`, a foreign writer must send it.
_CLOUDEVENTS = ("specversion",)
# Fields that our services always write beyond the model's minimum. A unit's action is identified by (topic,
# id) and needs none; a contact point never enters the log, so it has no sequence and no salt.
_PROMISED: dict[Kind, tuple[str, ...]] = {
    "fact": ("datacontenttype", "dataschema", "sequence", "sequencetype", "partitionkey", "salt"),
    "request": ("datacontenttype", "dataschema", "sequence", "sequencetype", "partitionkey", "salt"),
    "record": ("datacontenttype", "sequence", "sequencetype", "partitionkey"),
    "contact": ("datacontenttype", "partitionkey"),
    "action": (),
}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator without a title per field, which would only repeat the field's name."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  (never)
        return False

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}


def event_schema(contract: Contract) -> Schema:
    """The schema of the whole value: the CloudEvent with envelope and data."""
    schema = Event[contract.data_type].model_json_schema(schema_generator=_Generator)  # type: ignore[name-defined]
    properties: Schema = schema["properties"]
    properties["type"] = {"const": contract.type}
    properties["source"] |= _source(contract)
    required = {*schema["required"], *_CLOUDEVENTS, *_PROMISED[contract.kind]}
    for name in _PROMISED[contract.kind]:
        properties[name] = _never_null(properties[name])
    return _identified(
        schema,
        contract.schema_id,
        contract.type,
        contract.data_type.__doc__,
        required=[name for name in properties if name in required],
    )


def words_schema(contract: Contract) -> Schema | None:
    """The schema of the header `words`, or None for a type that never carries words."""
    if contract.words is NoWords:
        return None
    schema = contract.words.model_json_schema(schema_generator=_Generator)
    salt = {
        "type": "string",
        "minLength": 16,
        "description": "16 random bytes in base64url; the first member, so that equal words differ in hash.",
    }
    schema["properties"] = {"salt": salt, **schema["properties"]}
    return _identified(
        schema,
        f"{contract.schema_id}:words",
        f"words of {contract.type}",
        "Travels as the UTF-8 record header `words`; `wordshash` = hex of SHA-256(0x03 || these bytes).",
        required=["salt", *schema["required"]],
    )


def _source(contract: Contract) -> Schema:
    match contract.kind:
        case "action":
            return {"description": "Never believed: the topic says which unit it was."}
        case "record":
            return {"pattern": r"^/services/routing/departments/[a-z0-9-]+$"}
        case _:
            return {"const": SERVICE_PREFIX + contract.writer}


def _never_null(schema: Schema) -> Schema:
    """The schema of an optional field that our services always write."""
    alternatives = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return alternatives[0] if len(alternatives) == 1 else schema


def _identified(
    schema: Schema, identifier: str, title: str, description: str | None, *, required: list[str]
) -> Schema:
    """The schema with its head first, as a reader of the file expects."""
    head = {"$schema": schema["$schema"], "$id": identifier, "title": title, "description": description or ""}
    body = {name: part for name, part in schema.items() if name not in head and name != "$defs"}
    return {**head, **body, "required": required, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}
