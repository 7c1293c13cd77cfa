"""Gives events that were never sent other places, where theirs are taken on the topic. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from shared.contracts.base import ORDINALS_PER_EPOCH, ordinal


class Waiting(NamedTuple):
    """A row of the outbox, or of its paused topics."""

    id: int
    value: bytes
    paused: bool


def renumber(
    rows: Iterable[Waiting], highest: Mapping[str, Mapping[str, int]], said: Mapping[str, int], epoch: int
) -> tuple[list[Waiting], dict[str, dict[str, int]]]:
    """The rows with new places, and the last ordinals after them.

    `rows` come in commit order; `highest` are the last ordinals on the topics by subject and source, `said`
    the ordinal of each event there by id. A row that is on its topic already keeps its place: it is a second
    sending of the same bytes.
    """
    changed: list[Waiting] = []
    last = {subject: dict(own) for subject, own in highest.items()}
    for row in rows:
        event = orjson.loads(row.value)
        place = ordinal(event["epoch"], event["sequence"])
        if said.get(event["id"]) == place:
            continue
        own = last.setdefault(event["subject"], {})
        before = own.get(event["source"], 0)
        if place <= before:
            event["epoch"] = max(epoch, before // ORDINALS_PER_EPOCH)
            event["sequence"] = f"{before % ORDINALS_PER_EPOCH + 1:010d}"
            place = ordinal(event["epoch"], event["sequence"])
            changed.append(row._replace(value=orjson.dumps(event)))
        own[event["source"]] = place
    return changed, last
