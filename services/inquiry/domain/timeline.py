"""The timeline of a case (办理进度): what has happened, as kinds and facts that a page puts into words."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `data` as the step keeps it, `words` what somebody wrote (gone after erasure)."""

    kind: str
    at: dt.datetime
    data: dict[str, Any] = field(default_factory=dict)
    words: str | None = None


def timeline(created: dt.datetime, first_due: dt.datetime | None, steps: Iterable[Entry]) -> list[Entry]:
    """The whole story: intake, told from the case itself, then its steps in the order of recording.

    `first_due`: the deadline set at intake, for a case accepted by rule in the same act.
    """
    data = {"due": first_due.isoformat()} if first_due else {}
    return [Entry("received_accepted" if first_due else "received", created, data), *steps]
