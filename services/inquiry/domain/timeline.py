"""The timeline of a case (办理进度): kinds and data, which a page puts into words."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line: `data` as the step stored it, `words` the text of a person (None after erasure)."""

    kind: str
    at: dt.datetime
    data: dict[str, Any] = field(default_factory=dict)
    words: str | None = None


def timeline(
    created: dt.datetime, first_due: dt.datetime | None, steps: Iterable[TimelineEntry]
) -> list[TimelineEntry]:
    """The whole timeline: the intake, which is no stored step, then the steps in the order of recording.

    `first_due` is the deadline set at intake, for a case accepted by rule in the same act.
    """
    data = {"due": first_due.isoformat()} if first_due else {}
    return [TimelineEntry("received_accepted" if first_due else "received", created, data), *steps]
