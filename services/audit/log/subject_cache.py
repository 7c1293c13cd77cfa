"""Cache of subjects over `log_subject`, least recently used out first.

There is one writer, so the cache is right as long as its transactions commit; after one that does not, the
sequencer is discarded with its cache.
"""

import sys
from collections.abc import Iterable

import asyncpg

from services.audit.log import queries
from services.audit.log.parsing import SALT_BYTES, EventAttributes, SequenceKey
from services.audit.log.recent_subjects import RecentSubjects
from services.audit.log.subjects import KeyBox, Subject, new_key

# Some 40,000 subjects of a case's size. One that is not kept costs two reads by an index.
_CAPACITY_BYTES = 64 * 1024 * 1024


class SubjectCache:
    """Finds, creates and caches subjects. `count` is the number of subjects in the tables.

    Without `keys` it knows none but `keyless` ones.
    """

    def __init__(self, connection: asyncpg.Connection, keys: KeyBox | None, count: int) -> None:
        self._connection = connection
        self._keys = keys
        self._recent = RecentSubjects(_CAPACITY_BYTES)
        self.count = count

    async def keyless(self, name: str) -> int:
        """The number of a subject that has no words and no pseudonym, and so needs no key."""
        for subject in await queries.subjects(self._connection, [name]):
            return subject.no
        await queries.insert_subjects(self._connection, [queries.SubjectRow(self.count, name, None)])
        self.count += 1
        return self.count - 1

    async def get_or_create(self, names: Iterable[str]) -> dict[str, Subject]:
        """The subjects of these names; new ones get a number, a key and a row."""
        found: dict[str, Subject] = {}
        unknown: list[str] = []
        for name in dict.fromkeys(names):
            subject = self._recent.take(name)
            if subject is None:
                unknown.append(name)
            else:
                found[name] = subject
        if unknown:
            found.update(await self._read(unknown))
            found.update(await self._create(name for name in unknown if name not in found))
        self._recent.keep(found)
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

    async def opened(self, subjects: Iterable[Subject]) -> dict[int, set[bytes]]:
        """By number, the bytes that are sealed of these subjects, each that of an unparseable record.

        Such a subject is known already only if its partition is read again after a reset.
        """
        by_number = {subject.no: subject for subject in subjects}
        found: dict[int, set[bytes]] = {}
        for no, index, sealed in (
            await queries.words_of(self._connection, list(by_number)) if by_number else ()
        ):
            found.setdefault(no, set()).add(by_number[no].unseal(index, sealed)[SALT_BYTES:])
        return found

    async def _read(self, names: list[str]) -> dict[str, Subject]:
        keys, found = self._box(), dict[str, Subject]()
        for no, name, wrapped in await queries.subjects(self._connection, names):
            found[name] = Subject(no, None if wrapped is None else keys.unwrap(name, wrapped))
        by_number = {subject.no: subject for subject in found.values()}
        for no, source, ordinal in await queries.last_ordinals(self._connection, list(by_number)):
            by_number[no].last[sys.intern(source)] = ordinal
        return found

    async def _create(self, names: Iterable[str]) -> dict[str, Subject]:
        keys = self._box()
        made = {name: Subject(self.count + i, new_key()) for i, name in enumerate(names)}
        rows = [
            queries.SubjectRow(subject.no, name, keys.wrap(name, subject.key))
            for name, subject in made.items()
            if subject.key is not None
        ]
        await queries.insert_subjects(self._connection, rows)
        self.count += len(rows)
        return made

    def _box(self) -> KeyBox:
        if self._keys is None:
            raise ValueError("the log was opened without the keys of its subjects")
        return self._keys
