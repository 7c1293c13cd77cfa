"""The declaration of topics, their names, and what may be changed of them."""

from pathlib import Path

import pytest
import yaml

from shared.kafka.admin import TopicState
from shared.kafka.topic_changes import Change, KeptWidth, plan
from shared.kafka.topics import DECLARATION, TopicsInvalid, TopicSpec, code_of, load_topics, topic_name

SPEC = TopicSpec("civic.inquiry.v1", 4, 1, {"retention.ms": "1000", "cleanup.policy": "delete"})


def test_the_names_are_those_of_the_contract() -> None:
    assert topic_name("civic", "inquiry") == "civic.inquiry.v1"
    assert topic_name("t1", "department", "parks") == "t1.department.parks.v1"
    assert topic_name("t1", "actions", "parks") == "t1.department.parks.actions.v1"


@pytest.mark.parametrize(
    ("namespace", "logical", "code"),
    [
        ("civic", "inquiries", None),
        ("civic", "inquiry", "parks"),
        ("civic", "department", None),
        ("civic", "department", "Parks"),
        ("civic", "department", "parks.actions"),
        ("civic", "department", ""),
        ("civic", "department", "p" * 65),
        ("ci.vic", "inquiry", None),
        ("", "inquiry", None),
    ],
)
def test_a_name_that_could_be_mistaken_is_refused(namespace: str, logical: str, code: str | None) -> None:
    with pytest.raises(ValueError, match=r"topic|namespace|code"):
        topic_name(namespace, logical, code)


@pytest.mark.parametrize("code", ["parks", "actions", "v1", "311-center"])
def test_a_units_code_is_read_back_from_its_topics(code: str) -> None:
    assert code_of(topic_name("civic", "department", code)) == code
    assert code_of(topic_name("civic", "actions", code)) == code


@pytest.mark.parametrize(
    "topic",
    [
        "civic.inquiry.v1",
        "civic.department.parks.actions.dlq.v1",
        "civic.department.v1",
        "civic.department.parks.v1.retry",
        "civic.department.parks.v1\n",
    ],
)
def test_another_topic_has_no_unit(topic: str) -> None:
    assert code_of(topic) is None


def test_the_shipped_declaration_has_the_widths_and_retentions_that_the_services_need() -> None:
    specs = {spec.name: spec for spec in load_topics().specs("civic", ["parks"])}
    day = 24 * 60 * 60 * 1000
    retention = {name: int(spec.config["retention.ms"]) / day for name, spec in specs.items()}
    assert retention == {
        "civic.inquiry.v1": 35,
        "civic.routing.v1": 35,
        "civic.publisher.v1": 35,
        "civic.audit.v1": 35,
        "civic.contact.v1": 7,
        "civic.department.parks.v1": 14,
        "civic.department.parks.actions.v1": 14,
    }
    assert {spec.config["message.timestamp.type"] for spec in specs.values()} == {"LogAppendTime"}
    assert {spec.replication for spec in specs.values()} == {1}
    assert {name: spec.partitions for name, spec in specs.items() if spec.partitions != 4} == {
        "civic.department.parks.v1": 1,
        "civic.department.parks.actions.v1": 1,
    }


def test_units_without_kafka_have_no_topics_and_a_repeated_code_has_them_once() -> None:
    assert len(load_topics().specs("civic", [])) == 5
    assert len(load_topics().specs("civic", ["parks", "parks"])) == 7


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_a_cluster_keeps_writing_while_one_broker_is_away(replication: int, in_sync: str) -> None:
    for spec in load_topics().specs("civic", ["parks"], replication=replication):
        assert (spec.replication, spec.config["min.insync.replicas"]) == (replication, in_sync)


def test_one_replica_is_flushed_and_several_are_not() -> None:
    def flushed(replication: int | None) -> set[str]:
        specs = load_topics().specs("civic", ["parks"], replication=replication)
        return {spec.name for spec in specs if spec.config.get("flush.messages") == "1"}

    service_topics = {f"civic.{name}.v1" for name in ("inquiry", "routing", "publisher", "audit", "contact")}
    assert flushed(None) == flushed(1) == service_topics
    assert flushed(2) == flushed(3) == set()


def test_a_topic_that_got_more_replicas_is_no_longer_flushed_and_a_units_own_setting_stays() -> None:
    specs = load_topics().specs("civic", ["parks"], replication=3)
    existing = {
        spec.name: TopicState(spec.name, spec.partitions, 3, {**spec.config, "flush.messages": "1"})
        for spec in specs
    }
    changes = plan(specs, existing)
    assert {change.details for change in changes} == {("flush.messages: 1 -> not set",)}
    assert {change.topic for change in changes} == {
        f"civic.{name}.v1" for name in ("inquiry", "routing", "publisher", "audit", "contact")
    }


def test_a_replication_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="replication"):
        load_topics().specs("civic", [], replication=0)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("defaults.partitions", 0, "greater than or equal to 1"),
        ("defaults.partitions", "many", "defaults.partitions"),
        ("defaults.config", {}, "must be LogAppendTime"),
        ("topics.contact", None, "contact missing"),
        ("topics.contacts", {}, "contacts not in the contract"),
        ("templates.actions", None, "actions missing"),
        ("topics.audit.config", {"cleanup.policy": "compact"}, "audit: cleanup.policy must be delete"),
        ("topics.audit.config", {}, "audit: retention.ms must be stated"),
        ("topics.audit.config", {"retention.ms": -1}, "audit: retention.ms must be stated"),
        ("topics.audit.config", {"retention.ms": 1, "min.insync.replicas": 2}, "above replication"),
        ("topics.audit.partition", 3, "topics.audit.partition: Extra inputs"),
    ],
)
def test_a_faulty_declaration_is_refused_with_file_and_place(
    tmp_path: Path, path: str, value: object, sentence: str
) -> None:
    content = yaml.safe_load(DECLARATION.read_text())
    *parents, last = path.split(".")
    place = content
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    file = tmp_path / "topics.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(TopicsInvalid, match=sentence) as refused:
        load_topics(file)
    assert all(line.startswith(f"{file}: ") for line in str(refused.value).splitlines())


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"a: [", "is not YAML"), (b"\xff\xfe\x00", "cannot be read"), (b"", "valid")]
)
def test_what_is_no_declaration_at_all_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "topics.yaml"
    file.write_bytes(content)
    with pytest.raises(TopicsInvalid, match=sentence):
        load_topics(file)


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TopicsInvalid, match=r"nowhere\.yaml: cannot be read"):
        load_topics(tmp_path / "nowhere.yaml")


def _plan(**found: object) -> list[Change]:
    state = {"partitions": 4, "replication": 1, "config": dict(SPEC.config), **found}
    return plan([SPEC], {SPEC.name: TopicState(SPEC.name, **state)})  # type: ignore[arg-type]


def test_a_topic_as_declared_is_left_alone() -> None:
    assert _plan() == []


def test_a_missing_topic_is_made() -> None:
    assert plan([SPEC], {}) == [Change(SPEC.name, "create", ("4 partitions, replication 1",))]


def test_a_setting_that_the_declaration_does_not_name_is_no_difference() -> None:
    assert _plan(config={**SPEC.config, "segment.ms": "5"}) == []


def test_a_setting_left_to_the_brokers_default_is_a_difference() -> None:
    assert _plan(config={"retention.ms": "1000"}) == [
        Change(SPEC.name, "configure", ("cleanup.policy: not set -> delete",))
    ]


@pytest.mark.parametrize(
    ("partitions", "kept", "action", "advice"),
    [
        (8, KeptWidth(4), "leave", "4 in use: the others stay empty and harm nothing"),
        (8, KeptWidth(4), "leave", "`civicloom topics grow civic.inquiry.v1 8`"),
        (2, KeptWidth(4), "widen", "2 partitions -> 4"),
        (3, KeptWidth(3), "refuse", "`civicloom topics grow civic.inquiry.v1 4`, or correct"),
        (4, KeptWidth(4, 8), "leave", "it is held to grow to 8: `civicloom topics grow civic.inquiry.v1 8`"),
    ],
)
def test_what_the_services_keep_decides_how_wide_a_topic_is(
    partitions: int, kept: KeptWidth, action: str, advice: str
) -> None:
    state = TopicState(SPEC.name, partitions, 1, dict(SPEC.config))
    (change,) = plan([SPEC], {SPEC.name: state}, {SPEC.name: kept})
    assert change.action == action
    assert advice in change.details[0]


def test_a_topic_that_has_grown_is_as_it_should_be_and_is_made_again_as_wide() -> None:
    kept = {SPEC.name: KeptWidth(8)}
    assert plan([SPEC], {SPEC.name: TopicState(SPEC.name, 8, 1, dict(SPEC.config))}, kept) == []
    assert plan([SPEC], {}, kept) == [Change(SPEC.name, "create", ("8 partitions, replication 1",))]


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        ({"partitions": 3}, "correct the declaration"),
        ({"partitions": 5}, "cannot take partitions away"),
        ({"replication": 3}, "kafka-reassign-partitions"),
    ],
)
def test_what_would_harm_order_or_data_is_refused_with_advice(found: dict[str, int], advice: str) -> None:
    (change,) = _plan(**found)
    assert change.action == "refuse"
    assert advice in change.details[0]
