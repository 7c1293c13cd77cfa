"""Rights are derived, never listed: each service and unit gets its own, and nobody else any."""

import pytest

from shared.contracts.addresses import ADDRESSES, TEMPLATES
from shared.contracts.readers import readers
from shared.contracts.registry import writers
from shared.kafka.rights import Right, RightChange, plan_rights, service_user, unit_user, wanted_rights
from shared.settings import SERVICES

UNITS = ["water", "gas"]
WANTED = wanted_rights("civic", UNITS)


def may(user: str, operation: str) -> set[str]:
    wanted = (user, operation, "TOPIC")
    return {one.name for one in WANTED if (one.user, one.operation, one.resource) == wanted}


def test_every_topic_has_a_writer_and_only_its_own() -> None:
    for logical in ADDRESSES.keys() - TEMPLATES:
        topic = f"civic.{logical}.v1"
        found = {one.user for one in WANTED if one.name == topic and one.operation == "WRITE"}
        assert found == {service_user("civic", who) for who, what in writers() if what == logical}
        assert len(found) == 1


def test_contacts_are_read_by_the_publisher_alone() -> None:
    readers_of = {one.user for one in WANTED if one.name == "civic.contact.v1" and one.operation == "READ"}
    assert readers_of == {"civic.publisher"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_what_the_table_says_and_its_own(service: str) -> None:
    own = {f"civic.{what}.v1" for who, what in writers() if who == service and what not in TEMPLATES}
    listed = {f"civic.{what}.v1" for what in readers()[service] if what not in TEMPLATES}
    units = {f"civic.department.{code}.{end}" for code in UNITS for end in ("v1", "actions.v1")}
    expected = (own | listed) - ({"civic.contact.v1"} if service == "inquiry" else set())
    assert may(f"civic.{service}", "READ") == expected | (units if service == "routing" else set())


def test_a_unit_reads_its_topic_and_writes_its_actions() -> None:
    water = {
        (one.operation, one.resource, one.name) for one in WANTED if one.user == "civic.department.water"
    }
    assert water == {
        ("READ", "TOPIC", "civic.department.water.v1"),
        ("WRITE", "TOPIC", "civic.department.water.actions.v1"),
        ("READ", "GROUP", "civic.department.water."),
    }


def test_nobody_may_more_than_read_and_write() -> None:
    assert {one.operation for one in WANTED} == {"READ", "WRITE"}
    assert {(one.permission, one.host) for one in WANTED} == {("ALLOW", "*")}
    assert all(one.pattern == "LITERAL" for one in WANTED if one.resource == "TOPIC")


@pytest.mark.parametrize("code", [*SERVICES, "operator", "contact", "civic", "department", "a-b"])
def test_no_code_of_a_unit_gives_it_what_is_anothers(code: str) -> None:
    rights = wanted_rights("civic", [code, "water"])
    user = unit_user("civic", code)
    assert user not in {service_user("civic", service) for service in SERVICES}
    own = {one for one in rights if one.user == user}
    assert len(own) == 3
    groups = {one.name for one in rights if one.resource == "GROUP"}
    mine = next(one.name for one in own if one.resource == "GROUP")
    assert not [other for other in groups - {mine} if other.startswith(mine) or mine.startswith(other)]


@pytest.mark.parametrize("code", ["", "Water", "a.b", "水务", "a" * 65, "a b"])
def test_a_code_that_no_topic_can_have_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="must match"):
        unit_user("civic", code)


def test_what_is_there_as_wanted_is_no_change() -> None:
    assert plan_rights(WANTED, WANTED, "civic") == []


STRANGER = Right("monitor", "READ", "TOPIC", "civic.contact.v1")


@pytest.mark.parametrize(
    ("right", "action"),
    [
        (Right("civic.department.old", "READ", "TOPIC", "civic.department.old.v1"), "revoke"),
        (Right("civic.routing", "ALTER", "CLUSTER", "kafka-cluster"), "revoke"),
        (Right("civic.routing", "READ", "TOPIC", "elsewhere"), "revoke"),
        (Right("civic.routing", "READ", "TOPIC", "civic.routing.v1", "LITERAL", "DENY"), "revoke"),
        (Right("civic.department.water", "READ", "TOPIC", "civic.", "PREFIXED"), "revoke"),
        (STRANGER, "refuse"),
        (STRANGER._replace(host="10.0.0.1"), "refuse"),
        (STRANGER._replace(name="*"), "refuse"),
        (STRANGER._replace(name="civic.", pattern="PREFIXED"), "refuse"),
        (STRANGER._replace(name="c", pattern="PREFIXED"), "refuse"),
        (STRANGER._replace(resource="GROUP", name="civic.publisher"), "refuse"),
        (STRANGER._replace(name="other.contact.v1"), None),
        (STRANGER._replace(name="other.", pattern="PREFIXED"), None),
        (Right("other.routing", "READ", "TOPIC", "other.routing.v1"), None),
    ],
)
def test_what_somebody_changed_by_hand(right: Right, action: str | None) -> None:
    changes = plan_rights(WANTED, WANTED | {right}, "civic")
    assert changes == ([RightChange(right, action)] if action else [])  # type: ignore[arg-type]


def test_what_is_missing_is_given() -> None:
    gone = next(iter(WANTED))
    assert plan_rights(WANTED, WANTED - {gone}, "civic") == [RightChange(gone, "grant")]


def test_a_right_is_readable() -> None:
    assert str(STRANGER) == "monitor may READ TOPIC civic.contact.v1"
    other = Right("u", "ALL", "GROUP", "g.", "PREFIXED", "DENY", "10.0.0.1")
    assert str(other) == "u must not ALL GROUP g.* from 10.0.0.1"
