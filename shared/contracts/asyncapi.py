"""The AsyncAPI 3.0 document of the whole system: topics, messages, senders and readers."""

from typing import Any

import yaml

from shared.contracts.addresses import ADDRESSES, TEMPLATES
from shared.contracts.base import Contract, Kind, NoWords
from shared.contracts.readers import readers
from shared.contracts.registry import REGISTRY, writers

Document = dict[str, Any]

_CHANNELS = {
    "inquiry": "The case and its clocks.",
    "routing": "Dispatch, assignments and deliveries.",
    "publisher": "Publications, subscriptions, pushes and notices.",
    "audit": "The log's and oversight's decisions.",
    "contact": "Contact points, from inquiry to publisher alone.",
    "department": "What a unit receives. The words stand inside `data`.",
    "actions": "What a unit answers. An action is known by (topic, id); the topic says which unit it was.",
}
_KINDS: dict[Kind, str] = {
    "fact": "its owner has decided",
    "request": "asks an owner to decide",
    "record": "what a unit receives",
    "action": "what a unit answers",
    "contact": "direct identifiers; never logged",
}
_INFO = {
    "title": "Civicloom",
    "version": "1.0.0",
    "description": (
        "Generated from the models in shared/contracts. Every value is a CloudEvent 1.0 in structured JSON. "
        "Order holds per topic and key; the key is the subject, for a case the inquiry id. Readers skip "
        "types and fields that they do not know. The namespace `civic` of the addresses is a setting."
    ),
    "license": {"name": "Apache-2.0"},
}


def asyncapi(namespace: str = "civic") -> str:
    """The document as YAML; its schemas are references to the files beside it."""
    document = {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/cloudevents+json",
        "channels": {logical: _channel(logical, namespace) for logical in ADDRESSES},
        "operations": dict(
            [_operation(who, "send", logical) for who, logical in writers()]
            + [_operation(who, "receive", logical) for who, topics in readers().items() for logical in topics]
        ),
        "components": {"messages": {contract.type: _message(contract) for contract in _contracts()}},
    }
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


def _contracts() -> list[Contract]:
    """Sorted by type, since the registry's order depends on the order of imports."""
    return [REGISTRY[name] for name in sorted(REGISTRY)]


def _channel(logical: str, namespace: str) -> Document:
    address = ADDRESSES[logical].replace("{namespace}", namespace)
    channel: Document = {"address": address, "description": _CHANNELS[logical]}
    if logical in TEMPLATES:
        code = "The unit's code in the policy pack, [a-z0-9-]+."
        channel["parameters"] = {"code": {"description": code, "examples": ["urban-management"]}}
    channel["messages"] = {
        contract.type: {"$ref": f"#/components/messages/{contract.type}"}
        for contract in _contracts()
        if contract.topic == logical
    }
    return channel


def _operation(who: str, action: str, logical: str) -> tuple[str, Document]:
    verb = {"send": "Sends", "receive": "Receives"}[action]
    return f"{who}{verb}{logical.capitalize()}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{logical}"},
        "tags": [{"name": who}],
    }


def _message(contract: Contract) -> Document:
    message: Document = {
        "name": contract.type,
        "title": contract.type,
        "summary": contract.data_type.__doc__ or "",
        "tags": [{"name": contract.kind, "description": _KINDS[contract.kind]}],
        "payload": {"$ref": f"./schemas/{contract.type}.json"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The event's subject, in UTF-8."},
                "bindingVersion": "0.5.0",
            }
        },
    }
    if contract.words is not NoWords:
        message["headers"] = {
            "type": "object",
            "properties": {
                "words": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "description": f"UTF-8 JSON of ./schemas/{contract.type}.words.json; gone after erasure.",
                }
            },
        }
    return message


class _Plain(yaml.SafeDumper):
    """YAML without anchors, which are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (none at all)
        return True
