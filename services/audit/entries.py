"""A log entry as oversight reads it: its index in the log and the event. Never the words."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from services.audit.log.reset import Reset


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry. `event` is the CloudEvent; None for a record that is not an event of ours.

    `reset` is there if the entry says that a partition is read again from another offset.
    """

    index: int
    kind: str
    appended: dt.datetime
    source: str | None
    type: str | None
    subject: str
    event: dict[str, Any] | None
    reset: Reset | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry as the stream and the API send it."""
        reset = {} if self.reset is None else {"reset": self.reset._asdict()}
        return reset | {
            "index": self.index,
            "kind": self.kind,
            "appended": self.appended.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "event": self.event,
        }
