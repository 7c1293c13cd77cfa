"""Records that are no valid action, resolved to what a unit gets as the reason."""

import json
from typing import Any

import pytest

from services.routing.orphan_actions import InvalidAction, invalid_action
from shared.errors import Permanent, UnknownVersion
from shared.kafka.records import RawRecord

TOPIC = "civic.department.water.actions.v1"
ACTION = {"id": "a-1", "type": "civic.action.sign.v1"}


def record(value: dict[str, Any], topic: str = TOPIC) -> RawRecord:
    return RawRecord(topic, 0, 0, 0, b"key", json.dumps(value).encode(), ())


@pytest.mark.parametrize("value", [ACTION, {"id": "a-1"}])
def test_an_action_that_cannot_be_read_is_malformed(value: dict[str, Any]) -> None:
    assert invalid_action(record(value), Permanent("data.text: missing")) == InvalidAction(
        action="a-1", rule="malformed", detail="data.text: missing"
    )


@pytest.mark.parametrize("fault", [None, Permanent("unreadable")])
def test_a_record_of_another_type_names_the_types_that_are_actions(fault: Permanent | None) -> None:
    found = invalid_action(record(ACTION | {"type": "civic.inquiry.replied.v1"}), fault)
    assert found is not None
    assert (found.action, found.rule) == ("a-1", "unknown_type")
    assert found.detail == (
        "type: must be one of civic.action.sign.v1, civic.action.reply.v1, civic.action.return.v1"
    )


def test_a_record_that_cannot_be_answered_or_is_no_units_is_left_alone() -> None:
    fault = Permanent("unreadable")
    assert invalid_action(record({"type": "civic.action.sign.v1"}), fault) is None
    assert invalid_action(record(ACTION, topic="civic.inquiry.v1"), fault) is None


def test_a_newer_version_of_an_action_waits_for_an_upgrade() -> None:
    newer = record(ACTION | {"type": "civic.action.sign.v2"})
    assert invalid_action(newer, UnknownVersion("civic.action.sign.v2")) is None
