"""OTLP/JSON read by OpenTelemetry's own protobuf, strictly: an unknown member or a wrong type is an error."""

import base64
import copy
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def parse(document: dict[str, Any]) -> ExportTraceServiceRequest:
    """The request. OTLP/JSON has ids as hex where protobuf's JSON has base64; a wrong length is an error."""
    document = copy.deepcopy(document)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                _ids_to_base64(span)
    return json_format.ParseDict(document, ExportTraceServiceRequest())


def _ids_to_base64(span: dict[str, Any]) -> None:
    assert type(span["kind"]) is int  # names of enums are not allowed in OTLP/JSON
    for name, length in _IDS.items():
        if name in span:
            identifier = bytes.fromhex(span[name])
            assert len(identifier) == length
            assert any(identifier)
            span[name] = base64.b64encode(identifier).decode()


def by_service(request: ExportTraceServiceRequest) -> dict[str, list[Span]]:
    """The spans of each `service.name`."""
    found: dict[str, list[Span]] = {}
    for resource in request.resource_spans:
        attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert attributes["service.namespace"] == "civicloom"
        spans = found.setdefault(attributes["service.name"], [])
        for scope in resource.scope_spans:
            assert scope.scope.name == "civicloom"
            spans += scope.spans
    return found


def all_spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for found in by_service(request).values() for span in found]


def roots(spans: list[Span]) -> list[Span]:
    """The spans whose parent is not among these; every other one must lead to a root."""
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        steps, at = 0, span
        while at.parent_span_id in by_id:
            at, steps = by_id[at.parent_span_id], steps + 1
            assert steps <= len(spans), "a circle"
    return [span for span in spans if span.parent_span_id not in by_id]
