"""The subjects that the writer knows: in memory those of late, all others in the tables.

The writer is alone, so what it remembers is true as long as its transactions commit; after one that
does not, the whole sequencer is thrown away, and this with it.
"""

from collections.abc import Iterable

import asyncpg

from services.audit.log import queries
from services.audit.log.parsing import EventAttributes, SequenceKey
from services.audit.log.subjects import KeyBox, Subject, new_key

# Some 500 bytes each.
_REMEMBERED = 100_000


class SubjectCache:
    """Finds, makes and remembers subjects. `count` is how many the tables hold."""

    def __init__(self, connection: asyncpg.Connection, keys: KeyBox, count: int) -> None:
        self._connection = connection
        self._keys = keys
        self._remembered: dict[str, Subject] = {}
        self.count = count

    async def get_or_create(self, names: Iterable[str]) -> dict[str, Subject]:
        """The subjects of these names; those that nobody has seen get a number, a key and a row."""
        found: dict[str, Subject] = {}
        unknown: list[str] = []
        for name in dict.fromkeys(names):
            subject = self._remembered.pop(name, None)
            if subject is None:
                unknown.append(name)
            else:
                found[name] = subject
        if unknown:
            found.update(await self._read(unknown))
            found.update(await self._create(name for name in unknown if name not in found))
        # Those of this batch go behind all others, so that the first in line are the least used.
        self._remembered.update(found)
        for name in list(self._remembered)[: max(0, len(self._remembered) - _REMEMBERED)]:
            del self._remembered[name]
        return found

    async def logged(
        self, events: Iterable[EventAttributes], subjects: dict[str, Subject]
    ) -> dict[SequenceKey, list[tuple[int, bytes]]]:
        """What the log holds at the places of these events: index and value of each entry there.

        Asks only for what does not go beyond its subject's last position, which is rare.
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
