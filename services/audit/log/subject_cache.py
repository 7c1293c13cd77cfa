"""Cache of subjects over `log_subject`, least recently used out first.

There is one writer, so the cache is right as long as its transactions commit; after one that does not, the
sequencer is discarded with its cache.
"""

from collections.abc import Iterable

import asyncpg

from services.audit.log import queries
from services.audit.log.parsing import EventAttributes, SequenceKey
from services.audit.log.subjects import KeyBox, Subject, new_key

# Some 500 bytes each.
_CAPACITY = 100_000


class SubjectCache:
    """Finds, creates and caches subjects. `count` is the number of subjects in the tables."""

    def __init__(self, connection: asyncpg.Connection, keys: KeyBox, count: int) -> None:
        self._connection = connection
        self._keys = keys
        self._cached: dict[str, Subject] = {}
        self.count = count

    async def get_or_create(self, names: Iterable[str]) -> dict[str, Subject]:
        """The subjects of these names; new ones get a number, a key and a row."""
        found: dict[str, Subject] = {}
        unknown: list[str] = []
        for name in dict.fromkeys(names):
            subject = self._cached.pop(name, None)
            if subject is None:
                unknown.append(name)
            else:
                found[name] = subject
        if unknown:
            found.update(await self._read(unknown))
            found.update(await self._create(name for name in unknown if name not in found))
        # The subjects of this batch go to the end, so that the least recently used come first.
        self._cached.update(found)
        for name in list(self._cached)[: max(0, len(self._cached) - _CAPACITY)]:
            del self._cached[name]
        return found

    async def logged(
        self, events: Iterable[EventAttributes], subjects: dict[str, Subject]
    ) -> dict[SequenceKey, list[tuple[int, bytes]]]:
        """Index and value of each entry that is logged under the keys of these events.

        Queries only keys that are not above the subject's last ordinal, which is rare.
        """
        keys = [
            (subjects[event.subject].no, event.source, event.ordinal)
            for event in events
            if event.ordinal <= subjects[event.subject].last.get(event.source, -1)
        ]
        return await queries.entries_at(self._connection, keys) if keys else {}

    async def _read(self, names: list[str]) -> dict[str, Subject]:
        found: dict[str, Subject] = {}
        for no, name, wrapped in await queries.subjects(self._connection, names):
            found[name] = Subject(no, None if wrapped is None else self._keys.unwrap(name, wrapped))
        by_number = {subject.no: subject for subject in found.values()}
        for no, source, ordinal in await queries.last_ordinals(self._connection, list(by_number)):
            by_number[no].last[source] = ordinal
        return found

    async def _create(self, names: Iterable[str]) -> dict[str, Subject]:
        made = {name: Subject(self.count + i, new_key()) for i, name in enumerate(names)}
        rows = [
            queries.SubjectRow(subject.no, name, self._keys.wrap(name, subject.key))
            for name, subject in made.items()
            if subject.key is not None
        ]
        await queries.insert_subjects(self._connection, rows)
        self.count += len(rows)
        return made
