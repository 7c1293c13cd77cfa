"""Compares declared with existing topics, and applies the differences that are safe to apply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.kafka.admin import KafkaAdmin, TopicState
from shared.kafka.topics import TopicSpec

Action = Literal["create", "configure", "refuse"]


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of one topic; `refuse` means that an operator has to decide. `details` describe it."""

    topic: str
    action: Action
    details: tuple[str, ...]


def plan(wanted: Sequence[TopicSpec], existing: Mapping[str, TopicState]) -> list[Change]:
    """The differences in the order of `wanted`; a topic can have two, one to configure and one to refuse.

    Settings that the declaration does not name belong to the operator and are no difference.
    """
    changes = []
    for spec in wanted:
        state = existing.get(spec.name)
        if state is None:
            size = f"{spec.partitions} partitions, replication {spec.replication}"
            changes.append(Change(spec.name, "create", (size,)))
            continue
        settings = tuple(
            f"{name}: {state.config.get(name, 'not set')} -> {value}"
            for name, value in spec.config.items()
            if state.config.get(name) != value
        )
        if settings:
            changes.append(Change(spec.name, "configure", settings))
        if obstacles := tuple(_obstacles(spec, state)):
            changes.append(Change(spec.name, "refuse", obstacles))
    return changes


def _obstacles(spec: TopicSpec, state: TopicState) -> list[str]:
    found = []
    sizes = f"{state.partitions} partitions, declared {spec.partitions}"
    if state.partitions < spec.partitions:
        # With more partitions a key moves while its older events are unread: its order would be lost.
        found.append(f"{sizes}: keys would change partition and lose their order, correct the declaration")
    elif state.partitions > spec.partitions:
        found.append(f"{sizes}: Kafka cannot take partitions away, correct the declaration")
    if state.replication != spec.replication:
        found.append(
            f"replication {state.replication}, declared {spec.replication}: "
            "move the partitions with kafka-reassign-partitions"
        )
    return found


async def diff(bootstrap: str, wanted: Sequence[TopicSpec]) -> list[Change]:
    """The differences between the broker's topics and `Topics.specs(...)`; changes nothing.

    Raises BrokerRefused.
    """
    async with KafkaAdmin(bootstrap) as admin:
        return plan(wanted, await admin.describe(spec.name for spec in wanted))


async def apply(bootstrap: str, wanted: Sequence[TopicSpec]) -> list[Change]:
    """Creates missing topics and corrects settings; returns these changes and those that it refuses.

    `wanted` comes from `Topics.specs(...)`. It may run repeatedly and concurrently. Raises BrokerRefused.
    """
    specs = {spec.name: spec for spec in wanted}
    async with KafkaAdmin(bootstrap) as admin:
        existing = await admin.describe(specs)
        changes = plan(wanted, existing)
        if missing := [specs[change.topic] for change in changes if change.action == "create"]:
            await admin.create(missing)
        for change in changes:
            if change.action == "configure":
                # Kafka replaces the whole configuration, so the operator's own settings are sent too.
                kept = existing[change.topic].config
                await admin.configure(change.topic, {**kept, **specs[change.topic].config})
    return changes
