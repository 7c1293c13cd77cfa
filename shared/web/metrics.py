"""Metrics of the web edge."""

from prometheus_client import Counter, Gauge, Histogram

# Until the first byte of the answer, because a stream stays open for hours.
HTTP_SECONDS = Histogram(
    "civicloom_http_request_seconds",
    "Seconds from a request to the first byte of its answer, by the route's pattern",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HTTP_IN_PROGRESS = Gauge(
    "civicloom_http_in_progress",
    "Requests that are worked on, and streams that are open",
    ["service", "kind"],
)
# `request`: more than may be worked on at a time; `stream`: likewise; `late`: begun and given up.
HTTP_SHED = Counter(
    "civicloom_http_shed_total", "Requests that were answered 503 to keep the rest quick", ["service", "why"]
)
