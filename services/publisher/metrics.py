"""What the publisher measures."""

from prometheus_client import Counter, Gauge

# `keep` that does not become another decision: inquiry.received of these cases has not come.
NOTICES_DECIDED = Counter(
    "civicloom_notices_decided_total",
    "Steps of cases by what was decided on telling the citizen",
    ["decision"],
)
DELIVERIES = Counter(
    "civicloom_deliveries_total", "Attempts to deliver by their outcome", ["kind", "lane", "outcome"]
)
# 0: nothing of this lane is sent (no SMTP_URL, or the server is away); what is due waits and is sent later.
LANE_READY = Gauge("civicloom_lane_ready", "Whether a delivery lane works", ["lane"])
