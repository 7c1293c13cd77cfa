"""Metrics of the trace exporter."""

from prometheus_client import Counter, Gauge

# Grows while the collector is unreachable or refuses; the log line is `trace export waits`.
TRACE_EXPORT_BEHIND = Gauge(
    "civicloom_trace_export_behind", "Entries of the log that the trace exporter has not sent yet"
)
# `refused` above 0: the collector took a request but not all of its spans; those are not sent again (OTLP).
TRACE_SPANS = Counter("civicloom_trace_spans_total", "Spans by what the collector did with them", ["outcome"])
