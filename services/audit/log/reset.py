"""The entry of the kind `reset`: from here on a partition is read again from another offset.

A person has said so: after its topic was made again or had lost its end, or after a restore.
"""

from typing import NamedTuple

from services.audit.log.entry import VERSION, Members, time_bucket
from shared.errors import CivicloomError


class NotResettable(CivicloomError):
    """The cursor is not where the reset says that it is, or no such partition was ever logged."""


class Reset(NamedTuple):
    """A partition that was logged up to offset `taken`, and is read from `offset` on.

    What the log took before is not undone. What stood between the last record taken and the end of what was
    lost is in no entry. After a restore of the log's tables `offset` is `taken`: it goes on where it was.
    """

    topic: str
    partition: int
    taken: int
    offset: int

    @property
    def subject(self) -> str:
        """Under which oversight finds the entry."""
        return f"reset/{self.topic}/{self.partition}"

    def sentence(self) -> str:
        """What the entry says, for a reader."""
        if self.offset == self.taken:
            return (
                f"{self.topic}/{self.partition} was logged up to offset {self.taken}, the log's tables were "
                "restored from a backup, and it goes on there"
            )
        return (
            f"{self.topic}/{self.partition} was logged up to offset {self.taken} and is read again from "
            f"{self.offset}: what stood in the lost log behind it is not in this one"
        )

    def members(self, recorded_ms: int) -> Members:
        """The members of the public entry that is recorded at this moment."""
        return {
            "v": VERSION,
            "kind": "reset",
            "time": time_bucket(recorded_ms),
            "topic": self.topic,
            "partition": self.partition,
            "taken": self.taken,
            "offset": self.offset,
        }


def reset_of(members: Members) -> Reset:
    """The reset that the entry with these members records. Raises KeyError if one of them is missing."""
    return Reset(
        str(members["topic"]), int(members["partition"]), int(members["taken"]), int(members["offset"])
    )
