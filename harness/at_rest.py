"""Checks the tables of an installation at rest against everything that is on its topics. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.history import EventKey, History, Violation
from shared.contracts.base import ordinal


class LogEntry(NamedTuple):
    """An entry of the log: `kind` is event, unparseable or incident."""

    kind: str
    source: str | None
    subject: str | None
    ordinal: int | None
    digest: bytes
    """SHA-256 of the value that is kept beside the entry."""


@dataclass(frozen=True, slots=True)
class CoreState:
    """What the core tables of one service hold when the installation is at rest.

    `ends` are the ends of the partitions that each consumer reads, `cursors` their next offsets, both by
    (consumer, topic, partition); `sequences` the last ordinal by subject and source; `parked` the keys that
    wait and `dead` the number of open dead letters; `awaited` maps subjects to what they still wait for.
    """

    service: str
    outbox: int
    cursors: Mapping[tuple[str, str, int], int]
    ends: Mapping[tuple[str, str, int], int]
    sequences: Mapping[str, Mapping[str, int]]
    parked: frozenset[str]
    dead: int
    awaited: Mapping[str, str] = field(default_factory=dict)


def check_acknowledged(history: History, acknowledged: Iterable[tuple[str, int]]) -> list[Violation]:
    """Each write that was acknowledged to a client, as inquiry's id and sequence, is on the topic."""
    return [
        Violation("I1", f"inquiry acknowledged {subject} at {sequence}, which is on no topic")
        for subject, sequence in acknowledged
        if not any(
            EventKey("/services/inquiry", subject, ordinal(epoch, sequence)) in history.events
            for epoch in range(1, 10)  # each restore raises it
        )
    ]


def check_resent(history: History, broken_since_ms: int | None) -> list[Violation]:
    """Before the first fault (milliseconds since 1970, None for never) no relay sends an event twice.

    Consumers drop duplicates, so no other check finds relays that share a shard.
    """
    early = [ms for ms in history.resent_ms if broken_since_ms is None or ms < broken_since_ms]
    return (
        [Violation("relay", f"{len(early)} events were sent again before the first fault")] if early else []
    )


def check_core(
    history: History,
    state: CoreState,
    *,
    handled: frozenset[str],
    reads: frozenset[str],
    parked: frozenset[str] = frozenset(),
    forged: frozenset[str] = frozenset(),
    dead: int = 0,
) -> list[Violation]:
    """What is wrong in the core tables of a service, compared with the topics.

    `handled` are the types that it applies, from the topics `reads`; `parked` the keys that must wait for an
    operator, `dead` how many open dead letters there must be, and `forged` the subjects that no service made.
    """
    name = state.service
    found = _check_rest(state) + _check_waiting(state, parked, forged, dead)
    emitted = {key: value for key, value in history.last_ordinals().items() if _is_of(name, key[1])}
    remembered = {
        (subject, source): value
        for subject, sources in state.sequences.items()
        for source, value in sources.items()
        if _is_of(name, source)
    }
    found += [
        Violation("I4", f"{name}: {key}: table {remembered.get(key)}, topic {emitted.get(key)}")
        for key in emitted.keys() | remembered.keys()
        if key[0] not in forged and emitted.get(key) != remembered.get(key)
    ]
    # Types other than `handled` may or may not be remembered, but never an event that was not sent.
    sent = history.last_ordinals()
    for key, value in history.last_ordinals(handled, reads).items():
        applied = state.sequences.get(key[0], {}).get(key[1], 0)
        if key[0] not in forged and not value <= applied <= sent[key]:
            found.append(Violation("I1", f"{name}: {key}: applied up to {applied}, sent {value}"))
    return found


def _check_rest(state: CoreState) -> list[Violation]:
    """Nothing is left to send or to read."""
    found = []
    name = state.service
    if state.outbox:
        found.append(Violation("I6", f"{name}: {state.outbox} events are left in the outbox"))
    for partition, end in state.ends.items():
        if end and state.cursors.get(partition, 0) != end:
            found.append(
                Violation(
                    "I6", f"{name}: cursor {partition} stands at {state.cursors.get(partition, 0)} of {end}"
                )
            )
    partitions = {partition[:2] for partition in state.ends}
    found += [
        Violation("I6", f"{name}: {partition[0]} reads {partition[1]}, which is not expected")
        for partition in state.cursors
        if partition[:2] not in partitions
    ]
    return found


def _check_waiting(
    state: CoreState, parked: frozenset[str], forged: frozenset[str], dead: int
) -> list[Violation]:
    """What waits for an operator is what must wait for one, and nothing waits for another service."""
    found = []
    name = state.service
    if state.parked != parked:
        found.append(
            Violation("I5", f"{name}: parked keys are {sorted(state.parked)}, expected {sorted(parked)}")
        )
    if state.dead != dead:
        found.append(Violation("I5", f"{name}: {state.dead} dead letters, expected {dead}"))
    found += [
        Violation("answered", f"{name}: {subject} still waits for {kind}")
        for subject, kind in state.awaited.items()
        if subject not in forged
    ]
    return found


def check_log(history: History, entries: Iterable[LogEntry]) -> list[Violation]:
    """The log holds each event of the four topics exactly once, as it was sent, and nothing else (I9)."""
    found = []
    logged: Counter[EventKey] = Counter()
    unparseable = 0
    for entry in entries:
        if entry.kind == "unparseable":
            unparseable += 1
        elif entry.kind != "event":
            found.append(Violation("I9", f"an entry of the kind {entry.kind} on {entry.subject}"))
        elif entry.source is None or entry.subject is None or entry.ordinal is None:
            found.append(Violation("I9", f"an entry without source, subject or ordinal: {entry.subject}"))
        else:
            key = EventKey(entry.source, entry.subject, entry.ordinal)
            logged[key] += 1
            if key in history.events and history.events[key].digest != entry.digest:
                found.append(Violation("I9", f"{key} is in the log with another value"))
    expected = {key for key, seen in history.events.items() if seen.location.topic in history.logged_topics}
    found += [Violation("I9", f"{key} is not in the log") for key in expected - logged.keys()]
    found += [Violation("I9", f"{key} is in the log but on no topic") for key in logged.keys() - expected]
    found += [
        Violation("I9", f"{key} is in the log {count} times") for key, count in logged.items() if count > 1
    ]
    unreadable = sum(record.topic in history.logged_topics for record in history.unreadable)
    if unparseable != unreadable:
        found.append(Violation("I9", f"{unparseable} unparseable entries for {unreadable} such records"))
    return found


def _is_of(service: str, source: str) -> bool:
    return source == f"/services/{service}" or source.startswith(f"/services/{service}/")
