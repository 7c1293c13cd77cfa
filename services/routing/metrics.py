"""Metrics of routing."""

from prometheus_client import Counter

# `event`: on the record. `counted`: beyond ten about the case on that day. `no_part`: the unit has and had no
# part in the case, or there is none.
REFUSALS = Counter(
    "civicloom_refused_actions_total",
    "Acts of units that were refused, by what was kept of it",
    ["unit", "kept"],
)
