"""The subjects used last, as many as fit into a given memory."""

from collections.abc import Mapping

from services.audit.log.subjects import Subject

# Measured in CPython 3.11, with the entry in the dictionary. A source costs its ordinal and its pseudonym;
# its name is shared (`parsing`). One source more is counted than there is: the batch at hand may add it.
_BYTES, _BYTES_PER_SOURCE = 480, 270


class RecentSubjects:
    """Subjects by name, least recently used first out. `capacity` is in bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: dict[str, tuple[Subject, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, name: str) -> Subject | None:
        """The subject, which is kept no longer; None if it was not."""
        subject, size = self._kept.pop(name, (None, 0))
        self._bytes -= size
        return subject

    def keep(self, subjects: Mapping[str, Subject]) -> None:
        """Keeps them as the most recent ones, and forgets the oldest beyond the capacity."""
        for name, subject in subjects.items():
            self.take(name)
            size = _BYTES + len(name) + _BYTES_PER_SOURCE * (len(subject.last) + 1)
            self._kept[name] = subject, size
            self._bytes += size
        oldest = iter(list(self._kept) if self._bytes > self._capacity else ())
        while self._bytes > self._capacity:
            self.take(next(oldest))
