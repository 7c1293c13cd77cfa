"""The report of the rows that could not be taken: CSV with line number, id in the source, and reason."""

import csv
from collections.abc import AsyncIterable
from pathlib import Path

import asyncpg

COLUMNS = ("line", "external_id", "reason")


async def write_report(rows: AsyncIterable[asyncpg.Record], path: Path) -> int:
    """Writes the rows and returns how many; without any there is no report, and an old one is removed.

    The file appears whole or not at all. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.part")
    count = 0
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        async for row in rows:
            writer.writerow([row[column] for column in COLUMNS])
            count += 1
    _publish(draft, path, worth=count > 0)
    return count


def _publish(draft: Path, path: Path, *, worth: bool) -> None:
    if worth:
        draft.replace(path)
    else:
        draft.unlink()
        path.unlink(missing_ok=True)
