"""Compares declared with existing topics, and applies the differences that are safe to apply."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shared.kafka.admin import KafkaAdmin, TopicState
from shared.kafka.topics import TopicSpec
from shared.kafka_access import KafkaAccess

Action = Literal["create", "configure", "widen", "leave", "refuse"]
_NOTHING_KEPT: Mapping[str, "KeptWidth"] = {}


@dataclass(frozen=True, slots=True)
class KeptWidth:
    """A topic's width in the schema of its writer: the number of partitions that keys are hashed over.

    `grows_to` is set while `civicloom topics grow` holds the topic, and `drained` from the point on from
    which there is no way back.
    """

    partitions: int
    grows_to: int | None = None
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of one topic; `details` describe it.

    `widen` gives back partitions that the topic has lost. `leave`: something to know, that harms nothing and
    that `apply` does not touch. `refuse`: an operator has to decide.
    """

    topic: str
    action: Action
    details: tuple[str, ...]


def plan(
    wanted: Sequence[TopicSpec],
    existing: Mapping[str, TopicState],
    kept: Mapping[str, KeptWidth] = _NOTHING_KEPT,
) -> list[Change]:
    """The differences in the order of `wanted`; a topic can have several, each with another action.

    The declaration says how wide a new topic is; one that has been written to is as wide as its writer keeps
    (`kept`, by topic). Settings that the declaration does not name belong to the operator and are no
    difference.
    """
    changes = []
    for declared in wanted:
        spec = _as_kept(declared, kept)
        state = existing.get(spec.name)
        if state is None:
            size = f"{spec.partitions} partitions, replication {spec.replication}"
            changes.append(Change(spec.name, "create", (size,)))
            continue
        found: list[tuple[Action, tuple[str, ...]]] = [
            ("configure", tuple(_settings(spec, state))),
            *_width(declared, state, kept.get(spec.name)),
            ("refuse", tuple(_obstacles(spec, state))),
        ]
        changes += [Change(spec.name, action, details) for action, details in found if details]
    return changes


def _as_kept(spec: TopicSpec, kept: Mapping[str, KeptWidth]) -> TopicSpec:
    width = kept.get(spec.name)
    return spec if width is None else replace(spec, partitions=width.partitions)


def _settings(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    for name, value in spec.config.items():
        if state.config.get(name) != value:
            yield f"{name}: {state.config.get(name, 'not set')} -> {value}"
    for name in sorted(spec.unset & state.config.keys()):
        yield f"{name}: {state.config[name]} -> not set"


def _width(
    declared: TopicSpec, state: TopicState, kept: KeptWidth | None
) -> Iterator[tuple[Action, tuple[str, ...]]]:
    """What is to be said, or done, about the number of partitions."""
    name, there = state.name, state.partitions
    width = there if kept is None else kept.partitions
    if kept is not None and kept.grows_to is not None:
        yield (
            "leave",
            (f"it is held to grow to {kept.grows_to}: `civicloom topics grow {name} {kept.grows_to}`",),
        )
    elif there < width:
        yield "widen", (f"{there} partitions -> {width}, over which its events are spread",)
    elif there > width:
        yield (
            "leave",
            (
                f"{there} partitions, {width} in use: the others stay empty and harm nothing, "
                f"`civicloom topics grow {name} {there}` would use them",
            ),
        )
    elif width < declared.partitions:
        yield (
            "refuse",
            (
                f"{width} partitions, declared {declared.partitions}: keys would change partition and lose "
                f"their order; `civicloom topics grow {name} {declared.partitions}`, or correct the "
                "declaration",
            ),
        )
    elif kept is None and there > declared.partitions:
        sizes = f"{there} partitions, declared {declared.partitions}"
        yield "refuse", (f"{sizes}: Kafka cannot take partitions away, correct the declaration",)


def _obstacles(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    if state.replication != spec.replication:
        yield (
            f"replication {state.replication}, declared {spec.replication}: "
            "move the partitions with kafka-reassign-partitions"
        )


async def diff(
    access: KafkaAccess, wanted: Sequence[TopicSpec], kept: Mapping[str, KeptWidth] = _NOTHING_KEPT
) -> list[Change]:
    """The differences between the broker's topics and `Topics.specs(...)`; changes nothing.

    Raises BrokerRefused.
    """
    async with KafkaAdmin(access) as admin:
        return plan(wanted, await admin.describe(spec.name for spec in wanted), kept)


async def apply(
    access: KafkaAccess, wanted: Sequence[TopicSpec], kept: Mapping[str, KeptWidth] = _NOTHING_KEPT
) -> list[Change]:
    """Creates missing topics, gives back lost partitions and corrects settings; returns all differences.

    `wanted` comes from `Topics.specs(...)`. It may run repeatedly and concurrently. Raises BrokerRefused.
    """
    specs = {spec.name: _as_kept(spec, kept) for spec in wanted}
    async with KafkaAdmin(access) as admin:
        existing = await admin.describe(specs)
        changes = plan(wanted, existing, kept)
        if missing := [specs[change.topic] for change in changes if change.action == "create"]:
            await admin.create(missing)
        for change in changes:
            spec = specs[change.topic]
            if change.action == "widen":
                await admin.widen(spec.name, spec.partitions)
            elif change.action == "configure":
                # Kafka replaces the whole configuration, so the operator's own settings are sent too.
                own = {k: v for k, v in existing[spec.name].config.items() if k not in spec.unset}
                await admin.configure(spec.name, {**own, **spec.config})
    return changes
