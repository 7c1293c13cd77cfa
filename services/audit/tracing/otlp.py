"""Spans as OTLP/JSON: the protobuf JSON of an ExportTraceServiceRequest, in which ids are hex digits.

OTLP specification 1.9, "JSON Protobuf Encoding": enums are numbers, 64-bit integers are decimal strings.
Written by hand because opentelemetry-proto's JSON has base64 ids, so every span would need a second pass.
"""

from collections.abc import Iterable
from typing import Any

from services.audit.tracing.spans import Attribute, Span

_PRODUCER = 4  # SPAN_KIND_PRODUCER: what the conventions want of the operation `create`
_SCOPE = {"name": "civicloom"}


def document(spans: Iterable[Span]) -> dict[str, Any]:
    """The request: `resourceSpans` per service, each with its spans in the order given."""
    services: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        services.setdefault(span.service, []).append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [
                        _attribute("service.name", service),
                        _attribute("service.namespace", "civicloom"),
                    ]
                },
                "scopeSpans": [{"scope": _SCOPE, "spans": found}],
            }
            for service, found in services.items()
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    made: dict[str, Any] = {"traceId": span.trace, "spanId": span.id}
    if span.parent is not None:
        made["parentSpanId"] = span.parent
    return made | {
        "name": span.name,
        "kind": _PRODUCER,
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end),
        "attributes": [_attribute(name, value) for name, value in span.attributes.items()],
    }


def _attribute(name: str, value: Attribute) -> dict[str, Any]:
    return {
        "key": name,
        "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
    }
