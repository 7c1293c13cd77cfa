"""The AsyncAPI document: sound in itself, and consistent with the registry."""

import re
from typing import Any

import pytest
import yaml

from shared.contracts.addresses import ADDRESSES, topic_name
from shared.contracts.asyncapi import asyncapi
from shared.contracts.base import NoWords
from shared.contracts.readers import readers
from shared.contracts.registry import REGISTRY
from tests.paths import REPO

FOLDER = REPO / "contracts"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())
    assert isinstance(content, dict)
    return content


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$ref"]] if "$ref" in node else [ref for one in node.values() for ref in references(one)]
    return [ref for one in node for ref in references(one)] if isinstance(node, list) else []


def test_it_has_the_members_that_asyncapi_3_asks_for(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    assert document.keys() <= {
        "asyncapi",
        "info",
        "defaultContentType",
        "channels",
        "operations",
        "components",
    }


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = references(document)
    assert len(found) > 2 * len(REGISTRY)
    for reference in found:
        if reference.startswith("./"):
            assert (FOLDER / reference).is_file(), reference
            continue
        node = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_every_parameter_of_an_address_is_described_and_no_other(document: dict[str, Any]) -> None:
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel.get("parameters", {}))


def test_every_topic_is_a_channel_at_its_address(document: dict[str, Any]) -> None:
    assert document["channels"].keys() == ADDRESSES.keys()
    for logical, channel in document["channels"].items():
        code = "parks" if "parameters" in channel else None
        assert channel["address"].replace("{code}", "parks") == topic_name("civic", logical, code)


def test_every_type_stands_once_in_the_channel_of_its_topic(document: dict[str, Any]) -> None:
    placed = [
        (logical, name) for logical, channel in document["channels"].items() for name in channel["messages"]
    ]
    assert sorted(placed) == sorted((contract.topic, name) for name, contract in REGISTRY.items())


def test_every_message_has_payload_key_and_the_words_header_where_there_are_words(
    document: dict[str, Any],
) -> None:
    messages = document["components"]["messages"]
    assert messages.keys() == REGISTRY.keys()
    for name, message in messages.items():
        assert message["payload"] == {"$ref": f"./schemas/{name}.json"}
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
        assert ("headers" in message) == (REGISTRY[name].words is not NoWords)


def test_operations_are_who_writes_and_who_reads(document: dict[str, Any]) -> None:
    found = {
        (operation["tags"][0]["name"], operation["action"], operation["channel"]["$ref"].rpartition("/")[2])
        for operation in document["operations"].values()
    }
    sends = {(contract.writer, "send", contract.topic) for contract in REGISTRY.values()}
    receives = {(who, "receive", logical) for who, topics in readers().items() for logical in topics}
    assert found == sends | receives
    assert len(found) == len(document["operations"])


def test_the_contact_topic_goes_from_inquiry_to_publisher_alone(document: dict[str, Any]) -> None:
    assert [
        name
        for name, operation in document["operations"].items()
        if operation["channel"]["$ref"] == "#/channels/contact"
    ] == ["inquirySendsContact", "publisherReceivesContact"]


def test_every_topic_has_a_reader() -> None:
    assert {logical for topics in readers().values() for logical in topics} == set(ADDRESSES)


def test_a_namespace_of_an_installation_stands_in_its_addresses() -> None:
    content = yaml.safe_load(asyncapi("town"))
    assert content["channels"]["department"]["address"] == "town.department.{code}.v1"


def test_it_does_not_depend_on_the_order_in_which_contracts_were_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = asyncapi()
    backwards = dict(reversed(REGISTRY.items()))
    monkeypatch.setattr("shared.contracts.asyncapi.REGISTRY", backwards)
    assert asyncapi() == expected
