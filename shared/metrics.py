"""All metrics of the core, each with its meaning for an operator."""

from prometheus_client import Counter, Gauge, Histogram

# Events by outcome; `duplicate` grows after every restart and is harmless.
EVENTS = Counter("civicloom_events_total", "Events taken from Kafka by outcome", ["consumer", "outcome"])
BATCH_SECONDS = Histogram(
    "civicloom_slice_seconds",
    "Duration of one partition batch, from cursor lock to commit",
    ["consumer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# Grows without end while the database refuses: look at the log line `partition batch waits`.
BATCH_WAITS = Counter(
    "civicloom_slice_waits_total", "Retries of a partition batch after an infrastructure fault", ["consumer"]
)
# Above 0: Kafka has lost records that were read (power loss, topic created again). Others may miss them.
LOG_TRUNCATED = Counter(
    "civicloom_topic_cut_total", "Partitions found to be another log than was read", ["consumer", "topic"]
)
RECORDS_EXPIRED = Counter(
    "civicloom_records_expired_total", "Offsets deleted before they were read", ["consumer", "topic"]
)
# Above 0 until an operator has looked: `civicloom losses list`.
TOPIC_LOSSES = Gauge(
    "civicloom_topic_losses",
    "Partitions with a loss that nobody has looked at",
    ["consumer", "topic", "kind"],
)
OPEN_TRANSACTION = Gauge(
    "civicloom_open_transaction_seconds",
    "For how long records have waited for the end of a transaction of their writer",
    ["consumer", "topic"],
)
LAG = Gauge("civicloom_consumer_lag", "Records not yet consumed", ["consumer", "topic", "partition"])
# Over all replicas of the service. Deadline checks wait while it is above their grace period.
UNREAD_AGE = Gauge("civicloom_unread_age_seconds", "Everything appended longer ago has been applied")
PARKED_KEYS = Gauge("civicloom_parked_keys", "Keys that wait behind a failed event", ["consumer"])
DEAD_LETTERS = Gauge("civicloom_dead_letters", "Dead letters that wait for an operator", ["consumer"])
# 1: a unit's topic has more bad records than are allowed in a minute; `civicloom dlq list` says until when.
PARTITION_PAUSED = Gauge(
    "civicloom_partition_paused",
    "Partitions that are not read for some time",
    ["consumer", "topic", "partition"],
)
# Grows while a service's topic, which is never paused, has more bad records than are allowed in a minute.
FLOODED = Counter(
    "civicloom_flooded_total", "Records beyond the limit that were parked or refused", ["consumer", "topic"]
)
RELAYED = Counter(
    "civicloom_relayed_total", "Events acknowledged by Kafka and deleted from the outbox", ["topic"]
)
PUBLISH_SECONDS = Histogram(
    "civicloom_wave_seconds",
    "Duration of one publish batch, from read to delete",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RELAY_FAULTS = Counter(
    "civicloom_relay_faults_total", "Publish batches that failed in part; the producer was renewed"
)
# Above 0: a topic is missing or refuses; `civicloom outbox` names it.
PAUSED = Gauge("civicloom_outbox_set_aside", "Events of paused topics", ["topic"])
# Over paused topics and all shards, also those that no relay holds. Machine time; each replica looks itself.
OUTBOX_AGE = Gauge("civicloom_outbox_age_seconds", "Age of the oldest event that is not yet on Kafka")
TIMERS = Counter("civicloom_timers_total", "Timers fired", ["kind"])
TIMER_FAULTS = Counter("civicloom_timer_faults_total", "Timers that failed and will be retried", ["kind"])
# Above 0: a case was handed on and nothing has come back; `civicloom status` names it. At most 10,000.
UNANSWERED = Gauge(
    "civicloom_cases_unanswered", "Cases without an answer of another service for minutes", ["kind"]
)
# Above 0: a restored service continued below what this reader had applied.
EPOCH_OVERLAPS = Counter(
    "civicloom_epoch_overlaps_total", "Events that begin an epoch at or below what was applied", ["consumer"]
)
# 1: a restored database; nothing is written or sent until `civicloom restore` has run.
BEHIND = Gauge("civicloom_database_behind", "The database is older than the service's own topic")
EMITTED = Counter("civicloom_emitted_total", "Events committed to the outbox", ["type"])
