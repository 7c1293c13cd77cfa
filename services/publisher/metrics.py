"""Metrics of the publisher."""

from prometheus_client import Counter, Gauge

# A `keep` without a later decision: inquiry.received of the case has not come.
NOTICES_DECIDED = Counter(
    "civicloom_notices_decided_total",
    "Steps of cases by the decision on notifying the citizen",
    ["decision"],
)
DELIVERIES = Counter(
    "civicloom_deliveries_total", "Attempts to deliver by result", ["kind", "lane", "outcome"]
)
# 0: the lane sends nothing (no SMTP_URL, or the server is away); due deliveries wait.
LANE_READY = Gauge("civicloom_lane_ready", "Whether a delivery lane works", ["lane"])
