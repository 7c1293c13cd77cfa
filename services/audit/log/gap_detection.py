"""Detects events that are missing from the log: gaps in the sequence of a source about a subject. Pure.

The log takes every record of its topics, so what it was not given is lost or late. A gap is kept, the log
goes on, and what comes late closes the gap.
"""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from services.audit.log.parsing import SequenceKey
from shared.contracts.base import ORDINALS_PER_EPOCH


class SequenceGap(NamedTuple):
    """The ordinals [first, end) of a source about a subject, which entry `entry` has shown to be missing.

    `opened_at` is machine time, None until it is stored. `reported`: it was open for long enough to be said.
    `accepted`: who has given up on what is missing, when and why.
    """

    entry: int
    subject_no: int
    source: str
    first: int
    end: int
    opened_at: dt.datetime | None = None
    reported: bool = False
    accepted: str | None = None

    @property
    def missing(self) -> int:
        """How many events it stands for."""
        return self.end - self.first

    @property
    def sequences(self) -> str:
        """The missing sequences for a reader: `4` or `4 to 6`, with the epoch if it is not the first."""
        epoch, first = divmod(self.first, ORDINALS_PER_EPOCH)
        last = (self.end - 1) % ORDINALS_PER_EPOCH
        numbers = f"{first}" if first == last else f"{first} to {last}"
        return numbers if epoch == 1 else f"{numbers} of epoch {epoch}"


def sequence_gap(
    entry: int, subject_no: int, source: str, ordinal: int, last: int | None, *, began_late: bool
) -> SequenceGap | None:
    """The gap before the event that entry `entry` is about; None if nothing is missing.

    `last` is the highest ordinal logged of the same source and subject, None for the first one. `began_late`:
    the partition's beginning was gone when the log began, so a first event may have any number.
    """
    if last is None and began_late:
        return None
    missing = missing_before(ordinal, last)
    return SequenceGap(entry, subject_no, source, ordinal - missing, ordinal) if missing else None


def missing_before(ordinal: int, last: int | None) -> int:
    """How many events are missing between `last` (None: no event yet) and `ordinal`.

    A sequence begins with 1. The first event of a new epoch never misses one: the restored service continued
    from what it found, which is unknown here.
    """
    if last is None:
        return max(0, ordinal % ORDINALS_PER_EPOCH - 1)
    if ordinal // ORDINALS_PER_EPOCH > last // ORDINALS_PER_EPOCH:
        return 0
    return max(0, ordinal - last - 1)


def close_gaps(gaps: Iterable[SequenceGap], arrived: Iterable[SequenceKey]) -> list[SequenceGap]:
    """What is left of `gaps` once the events with these keys have arrived; a gap may become two."""
    left = list(gaps)
    for subject_no, source, ordinal in arrived:
        left = [
            piece
            for gap in left
            for piece in (
                _without(gap, ordinal) if (gap.subject_no, gap.source) == (subject_no, source) else [gap]
            )
        ]
    return left


def _without(gap: SequenceGap, ordinal: int) -> list[SequenceGap]:
    if not gap.first <= ordinal < gap.end:
        return [gap]
    pieces = [gap._replace(end=ordinal), gap._replace(first=ordinal + 1)]
    return [piece for piece in pieces if piece.missing]
