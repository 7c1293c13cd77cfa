"""The history checker: what must hold over all records of all topics, whatever faults there were.

A pure fold over records; `harness.at_rest` compares it with the tables. A violation names its invariant:

- I1: no event is lost: sequences have no gap, causes have their effects.
- I2: no event is applied twice.
- I3: the events of a key are in order, on one partition.
- I4: a state changes if and only if there is an event, and tables agree with topics.
- I5: a failed event stops its own key and no other; it is replayed or discarded, never skipped silently.
- I6: an installation without faults comes to rest, with empty outboxes and cursors at the ends.
- I7: memory stays bounded.
- I8: every event names its cause and keeps the correlation id of its case.
- I9: the log holds each event once, as it was sent, and verifies.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from shared.contracts.addresses import code_of, topic_name
from shared.contracts.base import ordinal
from shared.kafka.records import RawRecord
from shared.settings import SERVICES

OUTCOMES_OF_ACTIONS = frozenset(
    f"civic.{name}.v1"
    for name in (
        "assignment.signed",
        "assignment.returned",
        "assignment.reply_proposed",
        "routing.request_refused",
    )
)
"""Each action of a unit leads to exactly one of these, or is refused without an event: for want of a part in
the case, or beyond ten refusals about it in a day. Then its result alone is on the unit's topic."""
_RESULT = "civic.department.action_result.v1"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, and where."""

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


class Location(NamedTuple):
    """The topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int


class EventKey(NamedTuple):
    """Identifies an event: two records with the same key are one event that was sent twice."""

    source: str
    subject: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event at its first appearance: SHA-256 of its value and of its words, `data` only of a few types."""

    location: Location
    id: str
    type: str
    causation: str | None
    correlation: str | None
    digest: bytes
    words: bytes
    data: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None
    effective: str | None = None


class Action(NamedTuple):
    """What a unit sent: known by its topic and its id."""

    topic: str
    id: str


_COMPARED = frozenset(
    {
        "civic.case.dispatched.v1",
        "civic.case.triaged.v1",
        "civic.delivery.succeeded.v1",
        "civic.department.case_offered.v1",
        _RESULT,
        "civic.inquiry.received.v1",
        "civic.inquiry.accepted.v1",
        "civic.inquiry.deadline_warned.v1",
        "civic.inquiry.deadline_breached.v1",
        "civic.inquiry.breach_withdrawn.v1",
        "civic.inquiry.replied.v1",
        "civic.inquiry.request_refused.v1",
        "civic.inquiry.reopened.v1",
        "civic.inquiry.closed.v1",
        "civic.push.notice_sent.v1",
        *OUTCOMES_OF_ACTIONS,
    }
)


class History:
    """Everything on an installation's topics, in offset order per partition, added record by record."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.logged_topics = frozenset(topic_name(namespace, service) for service in SERVICES)
        self.events: dict[EventKey, SeenEvent] = {}
        self.actions: dict[Action, str] = {}
        self.unreadable: list[RawRecord] = []
        self.resent_ms: list[int] = []
        self._last: dict[tuple[str, str], int] = {}
        self._ids: dict[tuple[str, str], EventKey] = {}
        self._partitions: dict[tuple[str, bytes | None], int] = {}
        self._digests: dict[Location, bytes] = {}
        self._found: list[Violation] = []

    @property
    def resent(self) -> int:
        """How many records repeat an event that was on its topic before."""
        return len(self.resent_ms)

    def add(self, record: RawRecord) -> None:
        """Takes the next record of its partition."""
        location = Location(record.topic, record.partition, record.offset)
        is_action = record.topic.endswith(".actions.v1")
        if code_of(record.topic) is not None and not is_action:
            self._digests[location] = hashlib.sha256(record.value or b"").digest()
        event = _parse(record.value)
        if event is None:
            self.unreadable.append(record)
        elif is_action:
            self.actions.setdefault(Action(record.topic, event["id"]), event["subject"])
        else:
            self._add_event(location, record, event)

    def violations(self) -> list[Violation]:
        """What is wrong on the topics alone."""
        return [
            *self._found,
            *self._causes(),
            *self._deliveries(),
            *self._offers(),
            *self._outcomes_of_actions(),
        ]

    def unanswered(self, answers: Mapping[str, frozenset[str]]) -> list[Violation]:
        """Each event of a type in `answers` is the cause of exactly one event of the types named there."""
        wanted = {
            seen.id: (key, answers[seen.type]) for key, seen in self.events.items() if seen.type in answers
        }
        given: Counter[str] = Counter()
        for seen in self.events.values():
            if seen.causation in wanted and seen.type in wanted[seen.causation][1]:
                given[seen.causation] += 1
        return [
            Violation("I2" if given[identifier] else "I1", f"{key} has {given[identifier]} answers")
            for identifier, (key, _) in wanted.items()
            if given[identifier] != 1
        ]

    def last_ordinals(
        self, types: frozenset[str] | None = None, topics: frozenset[str] | None = None
    ) -> dict[tuple[str, str], int]:
        """The highest position by (subject, source); of events of `types` and on `topics` alone, if given."""
        last: dict[tuple[str, str], int] = {}
        for key, seen in self.events.items():
            if (types is None or seen.type in types) and (topics is None or seen.location.topic in topics):
                source = (key.subject, key.source)
                last[source] = max(last.get(source, 0), key.ordinal)
        return last

    def _add_event(self, location: Location, record: RawRecord, event: Mapping[str, Any]) -> None:
        key = EventKey(event["source"], event["subject"], ordinal(event.get("epoch", 1), event["sequence"]))
        if record.key is None or record.key.decode("utf-8", "replace") != key.subject:
            self._say("I3", f"{key} has the record key {record.key!r}")
        partition = self._partitions.setdefault((location.topic, record.key), location.partition)
        if partition != location.partition:
            self._say("I3", f"{key} is on partition {location.partition}, its key on {partition}")
        digest = hashlib.sha256(record.value or b"").digest()
        words = hashlib.sha256(record.header("words") or b"").digest()
        known = self.events.get(key)
        if known is not None:
            self.resent_ms.append(record.timestamp_ms)
            if (known.digest, known.words) != (digest, words):
                self._say("I2", f"{key} is at {known.location} and with other bytes at {location}")
            return
        before = self._last.get((key.source, key.subject))
        if before is None and not _begins_an_epoch(before, key.ordinal):
            self._say("I1", f"{key} is the first of its source and subject: earlier ones are missing")
        elif before is not None and key.ordinal != before + 1 and not _begins_an_epoch(before, key.ordinal):
            what = "I3" if key.ordinal <= before else "I1"
            self._say(what, f"{key} at {location} comes after {before % 10**10}")
        self._last[key.source, key.subject] = max(before or 0, key.ordinal)
        same_id = self._ids.setdefault((key.source, event["id"]), key)
        if same_id != key:
            # Ids are derived from cause and type: a handler that ran twice gives the same id twice.
            self._say("I2", f"the id {event['id']} is {same_id} and {key}: its cause was applied twice")
        data = event["data"] if event["type"] in _COMPARED else {}
        self.events[key] = SeenEvent(
            location,
            event["id"],
            event["type"],
            event.get("causationid"),
            event.get("correlationid"),
            digest,
            words,
            data,
            event.get("time"),
            event.get("effectivetime"),
        )

    def _causes(self) -> Iterable[Violation]:
        correlations = {seen.id: (key.subject, seen.correlation) for key, seen in self.events.items()}
        ids = correlations.keys() | {action.id for action in self.actions}
        for key, seen in self.events.items():
            if seen.causation is None:
                continue
            if seen.causation not in ids:
                yield Violation(
                    "I8", f"{key} ({seen.type}) has the cause {seen.causation}, which is on no topic"
                )
            subject, correlation = correlations.get(seen.causation, (None, None))
            if subject == key.subject and correlation != seen.correlation:
                yield Violation("I8", f"{key} ({seen.type}) leaves the trace {correlation} of its cause")

    def _deliveries(self) -> Iterable[Violation]:
        records = {
            seen.id: (key, seen)
            for key, seen in self.events.items()
            if code_of(seen.location.topic) is not None
        }
        delivered: Counter[str] = Counter()
        for key, seen in self.events.items():
            if seen.type != "civic.delivery.succeeded.v1":
                continue
            for stated in (seen.data, *seen.data.get("others", ())):
                delivered[stated["record"]] += 1
                location = Location(stated["topic"], stated["partition"], stated["offset"])
                if stated["record"] not in records:
                    yield Violation("I4", f"{key} reports a record that is on no unit's topic")
                elif self._digests.get(location, b"").hex() != stated["hash"]:
                    yield Violation("I4", f"{key} has not the hash of the bytes at {location}")
        for identifier, (key, seen) in records.items():
            if delivered[identifier] != 1 and not (delivered[identifier] == 0 and _is_refusal(seen)):
                yield Violation(
                    "I4", f"{key} ({seen.type}) is reported delivered {delivered[identifier]} times"
                )

    def _offers(self) -> Iterable[Violation]:
        """Each dispatch offers the case once to each of its units that has a topic, and to no other."""
        offered: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
        with_topic = {unit for seen in self.events.values() if (unit := code_of(seen.location.topic))}
        dispatches: dict[str, tuple[EventKey, set[str]]] = {}
        for key, seen in self.events.items():
            if seen.type == "civic.department.case_offered.v1":
                offered[seen.causation][code_of(seen.location.topic) or ""] += 1
            elif seen.type == "civic.case.dispatched.v1":
                dispatches[seen.id] = (key, {seen.data["lead"], *seen.data.get("co", ())})
        for identifier, (key, units) in dispatches.items():
            expected = Counter(units & with_topic)
            if offered[identifier] != expected:
                yield Violation(
                    "I4", f"{key} went to {sorted(expected)}, offered {dict(offered[identifier])}"
                )
        for cause in offered.keys() - dispatches.keys():
            yield Violation("I4", f"an offer follows from {cause}, which is no dispatch")

    def _outcomes_of_actions(self) -> Iterable[Violation]:
        outcomes = Counter(
            (seen.data.get("unit"), seen.data.get("action"))
            for seen in self.events.values()
            if seen.type in OUTCOMES_OF_ACTIONS
        )
        refused = Counter(
            (code_of(seen.location.topic), seen.data["action"])
            for seen in self.events.values()
            if _is_refusal(seen)
        )
        for action in self.actions:
            key = (code_of(action.topic), action.id)
            count = outcomes[key] or refused[key]
            if count != 1:
                yield Violation("I2" if count else "I1", f"{action} has {count} outcomes")

    def _say(self, invariant: str, detail: str) -> None:
        self._found.append(Violation(invariant, detail))


def _is_refusal(seen: SeenEvent) -> bool:
    return seen.type == _RESULT and not seen.data["accepted"]


def _begins_an_epoch(before: int | None, number: int) -> bool:
    """A restored service begins an epoch and continues its sequences above those that it found."""
    epoch, sequence = divmod(number, 10**10)
    last_epoch, last = divmod(before or 0, 10**10)
    return sequence == 1 or (epoch > last_epoch and sequence == last + 1)


def _parse(value: bytes | None) -> dict[str, Any] | None:
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    named = isinstance(event, dict) and {"id", "source", "subject", "type", "data"} <= event.keys()
    return event if named else None
