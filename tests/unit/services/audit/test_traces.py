"""A history of the log as spans: pure, and checked by OpenTelemetry's own protobuf."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from services.audit.config import AuditSettings
from services.audit.tracing.events import LoggedEvent
from services.audit.tracing.otlp import document
from services.audit.tracing.spans import Span, span_id, spans, surroundings
from services.audit.tracing.tree import lines
from shared.ids import derived_id, new_id, trace_id
from tests.otlp import all_spans, by_service, parse, roots

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
CASE = "019ab4c1-5c00-7abc-8def-0123456789ab"
RECEIVED = "019ab4c1-5c01-7abc-8def-000000000001"
DISPATCHED = derived_id(RECEIVED, "civic.case.dispatched.v1")
REPLIED = "019ab4c1-5c03-7abc-8def-000000000003"
NOTICE = "019ab4c1-5c04-7abc-8def-000000000004"


def logged(index: int, service: str, name: str, identifier: str, **attributes: Any) -> LoggedEvent:
    event = {
        "specversion": "1.0",
        "type": f"civic.{name}.v1",
        "id": identifier,
        "source": f"/services/{service}",
        "subject": CASE,
        "time": moment(index),
        "effectivetime": moment(index),
        "sequence": "0000000001",
        "correlationid": CASE,
        **attributes,
    }
    return LoggedEvent(index, 1_795_000_000_000, f"civic.{service}.v1", 3, 40 + index, event)


def moment(seconds: float) -> str:
    return (NOW + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def nanoseconds(seconds: float) -> int:
    return int((NOW + dt.timedelta(seconds=seconds)).timestamp()) * 10**9


def history() -> list[LoggedEvent]:
    """A case over three services; the reply follows from a unit's action, which no log holds."""
    return [
        logged(1, "inquiry", "inquiry.received", RECEIVED, effectivetime=moment(-5), actor="person:王芳"),
        logged(2, "routing", "case.dispatched", DISPATCHED, causationid=RECEIVED, actor="service:routing"),
        logged(
            *(3, "inquiry", "inquiry.replied", REPLIED),
            sequence="0000000002",
            causationid="water/act 13800001111",
            actor="unit:water",
            policyversion="sha256:ab12",
            jurisdiction="cn-city",
        ),
        logged(4, "publisher", "push.notice_sent", NOTICE),
    ]


def of(events: Sequence[LoggedEvent], others: Sequence[LoggedEvent] = ()) -> list[Span]:
    return spans(events, surroundings(events, others))


def parents(found: list[Span]) -> dict[str, str | None]:
    names = {span.id: span.name for span in found}
    return {span.name: names.get(span.parent or "") for span in found}


# ---- ids ----


def test_a_trace_is_known_by_the_digits_of_its_correlation_id() -> None:
    assert trace_id(CASE) == CASE.replace("-", "")


@pytest.mark.parametrize(
    "odd",
    ["unreadable:civic.inquiry.v1:0", "路灯", "\ud800", CASE.upper(), "00000000-0000-0000-0000-000000000000"],
)
def test_a_correlation_that_is_no_uuid_is_hashed(odd: str) -> None:
    assert trace_id(odd) == hashlib.sha256(odd.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def test_span_ids_of_derived_and_of_new_events_stay_distinct() -> None:
    causes = [new_id(NOW) for _ in range(2000)]
    derived = [
        derived_id(cause, f"civic.{name}.v1", target)
        for cause in causes
        for name in ("case.dispatched", "department.case_offered")
        for target in ("", "water", "parks", "police")
    ]
    ids = {*causes, *derived}
    assert len({span_id(identifier) for identifier in ids}) == len(ids) == 18_000
    assert span_id(DISPATCHED) == DISPATCHED.replace("-", "")[16:]


@pytest.mark.parametrize(
    "odd",
    ["00000000-0000-0000-0000-000000000000", "a6f1c2de-0000-11ef-8000-0242ac120002", "act 1", "", "\ud800"],
)
def test_the_end_of_another_id_is_no_span_id(odd: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", span_id(odd))
    assert span_id(odd) not in {"0" * 16, odd.replace("-", "")[16:]}


# ---- parents ----


def test_an_event_hangs_at_its_cause_and_what_has_none_in_the_log_at_the_beginning() -> None:
    assert parents(of(history())) == {
        "civic.inquiry.received.v1": None,
        "civic.case.dispatched.v1": "civic.inquiry.received.v1",
        "civic.inquiry.replied.v1": "civic.inquiry.received.v1",
        "civic.push.notice_sent.v1": "civic.inquiry.received.v1",
    }


def test_a_part_of_a_trace_gives_the_same_spans_as_the_whole() -> None:
    whole = history()
    for cut in range(1, len(whole)):
        first = of(whole[:cut])
        second = of(whole[cut:], [whole[0], whole[1]])
        assert first + second == of(whole)


def test_an_effect_that_was_logged_before_its_cause_still_hangs_at_it() -> None:
    effect = logged(1, "routing", "case.dispatched", DISPATCHED, causationid=RECEIVED)
    cause = logged(2, "inquiry", "inquiry.received", RECEIVED)
    assert parents(of([effect, cause])) == {
        "civic.case.dispatched.v1": "civic.inquiry.received.v1",
        "civic.inquiry.received.v1": None,
    }


def test_a_trace_named_after_its_first_event_begins_with_it_whatever_its_subject() -> None:
    about = {"subject": "unreadable:t:0", "correlationid": RECEIVED}
    first = logged(5, "inquiry", "inquiry.deadletter_recorded", RECEIVED, sequence="0000000009", **about)
    second = logged(6, "inquiry", "inquiry.deadletter_discarded", REPLIED, sequence="0000000010", **about)
    found = of([second], [first])
    assert (found[0].parent, found[0].trace) == (span_id(RECEIVED), trace_id(RECEIVED))


def test_a_cause_in_another_trace_is_no_parent() -> None:
    other = logged(1, "publisher", "publication.published", REPLIED, subject=REPLIED, correlationid=REPLIED)
    mine = logged(2, "inquiry", "inquiry.received", RECEIVED, causationid=REPLIED)
    found = of([mine], [other])
    assert (found[0].parent, found[0].start) == (None, nanoseconds(2))


def test_events_that_name_themselves_or_each_other_as_cause_end_nowhere() -> None:
    itself = logged(1, "inquiry", "inquiry.received", RECEIVED, causationid=RECEIVED)
    assert of([itself])[0].parent is None
    later = {"sequence": "0000000007"}
    circle = [
        logged(2, "routing", "case.a", DISPATCHED, causationid=REPLIED, **later),
        logged(3, "routing", "case.b", REPLIED, causationid=DISPATCHED, **later),
    ]
    assert len(list(lines(of(circle)))) == 2


# ---- times ----


def test_a_span_lasts_from_its_cause_to_its_own_time_and_without_cause_from_its_effect() -> None:
    received, dispatched, replied, _ = of(history())
    assert (received.start, received.end) == (nanoseconds(-5), nanoseconds(1))
    assert (dispatched.start, dispatched.end) == (nanoseconds(1), nanoseconds(2))
    assert (replied.start, replied.end) == (nanoseconds(3), nanoseconds(3))


def test_a_clock_that_went_back_makes_no_span_that_ends_before_it_starts() -> None:
    cause = logged(1, "inquiry", "inquiry.received", RECEIVED)
    early = logged(2, "routing", "case.dispatched", DISPATCHED, causationid=RECEIVED, time=moment(-60))
    _, span = of([cause, early])
    assert span.start == span.end == nanoseconds(-60)


@pytest.mark.parametrize(
    "odd", [None, 5, "", "yesterday", "2026-11-24T08:00:00", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]
)
def test_without_a_readable_time_the_broker_s_counts(odd: object) -> None:
    (span,) = of([logged(1, "inquiry", "inquiry.received", RECEIVED, time=odd, effectivetime=odd)])
    assert span.start == span.end == 1_795_000_000_000 * 10**6


# ---- attributes ----


def test_the_document_is_what_opentelemetry_reads() -> None:
    services = by_service(parse(document(of(history()))))
    assert {name: len(found) for name, found in services.items()} == {
        "inquiry": 2,
        "routing": 1,
        "publisher": 1,
    }
    found = [span for name in services for span in services[name]]
    assert {span.trace_id.hex() for span in found} == {trace_id(CASE)}
    assert [span.name for span in roots(found)] == ["civic.inquiry.received.v1"]
    (dispatched,) = services["routing"]
    assert dispatched.kind == dispatched.SPAN_KIND_PRODUCER
    assert dispatched.end_time_unix_nano - dispatched.start_time_unix_nano == 10**9
    said = {one.key: one.value.string_value or one.value.int_value for one in dispatched.attributes}
    assert said == {
        "messaging.system": "kafka",
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": "civic.routing.v1",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 42,
        "cloudevents.event_id": DISPATCHED,
        "cloudevents.event_source": "/services/routing",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "civic.case.dispatched.v1",
        "cloudevents.event_subject": CASE,
        "civicloom.actor.kind": "service",
        "civicloom.cause": RECEIVED,
        "civicloom.log.index": 2,
        "civicloom.sequence": "0000000001",
    }


def test_neither_a_name_nor_a_word_nor_a_foreign_id_leaves() -> None:
    chinese = dict.fromkeys(
        ("source", "subject", "sequence", "policyversion", "jurisdiction", "actor", "specversion"),
        "王芳：路灯不亮",
    )
    bad = logged(
        9, "inquiry", "inquiry.noted", NOTICE, **chinese, correlationid="路灯", data={"text": "路灯"}
    )
    shown = json.dumps(document(of([*history(), bad])), ensure_ascii=False)
    assert shown.isascii()
    assert "13800001111" not in shown
    kinds = {span.attributes["civicloom.actor.kind"] for span in of([*history()]) if span.index < 4}
    assert kinds == {"person", "service", "unit"}
    assert all_spans(parse(json.loads(shown)))


@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], {}, "", "\ud800"])
def test_an_event_of_any_form_makes_a_span(value: object) -> None:
    names = ("type", "source", "subject", "time", "effectivetime", "sequence", "correlationid", "causationid")
    odd = logged(1, "inquiry", "x", RECEIVED, **dict.fromkeys((*names, "actor", "policyversion"), value))
    assert len(all_spans(parse(document(of([odd]))))) == 1


def test_no_events_are_an_empty_request() -> None:
    assert document([]) == {"resourceSpans": []}


# ---- the tree ----


def test_the_tree_shows_service_type_time_since_the_cause_and_index() -> None:
    shown = [re.sub(" +", " ", line) for line in lines(of(history()))]
    assert shown == [
        "inquiry civic.inquiry.received.v1 2026-11-24T08:00:01.000Z #1",
        "├ routing civic.case.dispatched.v1 +1.000 s #2",
        "├ inquiry civic.inquiry.replied.v1 +2.000 s #3",
        "└ publisher civic.push.notice_sent.v1 +3.000 s #4",
    ]


def test_a_chain_as_long_as_the_trace_is_shown() -> None:
    ids = [new_id(NOW) for _ in range(3000)]
    chain = [
        logged(i, "inquiry", "x", one, causationid=ids[i - 1] if i else None, sequence=f"{i + 1:010d}")
        for i, one in enumerate(ids)
    ]
    shown = list(lines(of(chain)))
    assert len(shown) == 3000
    assert shown[-1].lstrip().startswith("└ inquiry")


# ---- settings ----


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "00" * 32)


def test_nothing_is_exported_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    assert AuditSettings.for_service("audit").traces_url is None


def test_traces_go_below_the_endpoint_with_the_headers_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("https://collector.example:4318/otel", "https://collector.example:4318/otel/"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        assert (
            AuditSettings.for_service("audit").traces_url == "https://collector.example:4318/otel/v1/traces"
        )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi=, x-tenant = a ,")
    with pytest.raises(ValidationError):
        AuditSettings.for_service("audit")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi=, x-tenant=a,")
    assert AuditSettings.for_service("audit").traces_headers == {
        "authorization": "Basic YTpi=",
        "x-tenant": "a",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("ENDPOINT", bad) for bad in ("collector:4318", "grpc://collector:4317", "http://", "/v1/traces")),
        *(
            ("HEADERS", bad)
            for bad in ("geheim", "=geheim", "a b=geheim", "a=geheim\r\nb: c", "a=geheim,路=x")
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.raises(ValidationError, match=f"OTEL_EXPORTER_OTLP_{name} must look like") as error:
        AuditSettings.for_service("audit")
    assert "geheim" not in str(error.value)
