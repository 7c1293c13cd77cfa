"""What an installation has on the disk: tables with TOAST and indexes, segments, files of the log."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import asyncpg

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name,
       pg_relation_size(c.oid) AS rows,
       CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_total_relation_size(c.reltoastrelid) END AS toast,
       pg_indexes_size(c.oid) AS indexes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname IN ('publisher', 'inquiry', 'routing', 'audit')
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of a table's rows, of the TOAST beside them, and of its indexes; a folder has `rows` alone."""

    rows: int
    toast: int = 0
    indexes: int = 0

    @property
    def all(self) -> int:
        return self.rows + self.toast + self.indexes

    def since(self, before: Self | None) -> "Place":
        """What has come on top."""
        if before is None:
            return self
        return Place(self.rows - before.rows, self.toast - before.toast, self.indexes - before.indexes)


async def measure_disk(
    connection: asyncpg.Connection, kafka: Path, namespace: str, log: Path
) -> dict[str, Place]:
    """By place: a table with its schema, or a kind of folder. Of topics those of `namespace` alone."""
    places = {
        row["name"]: Place(row["rows"], row["toast"], row["indexes"])
        for row in await connection.fetch(_TABLES)
    }
    segments = await asyncio.to_thread(_segments, kafka, namespace)
    places |= {f"Kafka, {kind}": Place(size) for kind, size in segments.items()}
    places["files of the log"] = Place(_allocated(log))
    return places


def _segments(kafka: Path, namespace: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for folder in kafka.glob(f"{namespace}.*-*"):
        topic = folder.name.removeprefix(f"{namespace}.").rpartition("-")[0]
        kind = "units' topics" if "department" in topic else f"topic {topic}"
        sizes[kind] = sizes.get(kind, 0) + _allocated(folder)
    return sizes


def added(before: Mapping[str, Place], after: Mapping[str, Place]) -> dict[str, Place]:
    """What each place has more than before, most first; places that did not grow are left out."""
    grown = {name: place.since(before.get(name)) for name, place in after.items()}
    return dict(sorted(((n, p) for n, p in grown.items() if p.all > 0), key=lambda item: -item[1].all))


def _allocated(folder: Path) -> int:
    """Bytes that its files take on the disk: Kafka makes its index files larger than what is in them."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(path) / name).stat().st_blocks * 512
            except FileNotFoundError:
                continue  # a file of the broker that was renamed or deleted in between
    return total
