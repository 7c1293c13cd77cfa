"""Metrics of the log."""

from prometheus_client import Counter, Gauge, Histogram

LOG_SIZE = Gauge("civicloom_log_size", "Entries under the newest committed checkpoint")
LOG_PUBLISHED = Gauge("civicloom_log_published", "Entries under the newest published checkpoint")
# `incident` or `unparseable` above 0: a producer wrote what no service should; look at the entries.
LOG_RECORDS = Counter(
    "civicloom_log_records_total", "Records taken from Kafka by what became of them", ["outcome"]
)
# `late` are part of `logged`: they came behind a later event of their sequence.
for _outcome in ("logged", "duplicate", "late", "incident", "unparseable", "words_refused"):
    LOG_RECORDS.labels(_outcome)  # start at 0: Prometheus sees no increase in a series that begins at 1
# Above 0: the broker or a service has lost records, or audit was down for longer than the topics' retention.
# The log lines are `records are gone` and `events are missing`.
LOG_LOST = Counter(
    "civicloom_log_lost_total", "Records missing from the log, by what revealed it", ["told_by"]
)
for _gap in ("offset", "sequence"):
    LOG_LOST.labels(_gap)
LOG_MISSING = Gauge(
    "civicloom_log_missing_events",
    "Events that later ones of their sequence have shown to be missing for more than a minute",
)
LOG_BATCH_SECONDS = Histogram(
    "civicloom_log_batch_seconds",
    "Duration of one batch, from lock to commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LOG_WRITER = Gauge("civicloom_log_writer", "1 if this process writes the log, and has shown that it can")
