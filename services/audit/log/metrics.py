"""Metric names of the log, each with what it tells."""

from prometheus_client import Counter, Gauge, Histogram

LOG_SIZE = Gauge("civicloom_log_size", "Entries under the newest committed checkpoint")
LOG_PUBLISHED = Gauge("civicloom_log_published", "Entries under the newest published checkpoint")
# `incident` and `unparseable` above 0: somebody wrote what no service should; look at the entries.
LOG_RECORDS = Counter(
    "civicloom_log_records_total", "Records taken from Kafka by what became of them", ["outcome"]
)
for _outcome in ("logged", "duplicate", "incident", "unparseable", "words_refused"):
    LOG_RECORDS.labels(_outcome)  # from 0 on: of a series that begins at 1 Prometheus sees no increase
# More than 0: the broker or a service has lost what none may lose, or audit stood for longer than the topics
# keep. The log lines are `records are gone` and `events are missing`.
LOG_LOST = Counter(
    "civicloom_log_lost_total", "Records that the log was not given, by what told so", ["told_by"]
)
for _told_by in ("offset", "sequence"):
    LOG_LOST.labels(_told_by)
LOG_BATCH_SECONDS = Histogram(
    "civicloom_log_batch_seconds",
    "Duration of one batch, from lock to commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LOG_WRITER = Gauge("civicloom_log_writer", "1 if this process is the writer of the log")
