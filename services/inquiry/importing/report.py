"""The report of the rejected rows: CSV with line number, id in the source, and reason."""

import csv
from collections.abc import AsyncIterable
from pathlib import Path

from services.inquiry.importing.translate import Rejection

COLUMNS = ("line", "external_id", "reason")


async def write_report(rows: AsyncIterable[Rejection], path: Path) -> int:
    """Writes the rows and returns their number. Without rows there is no report, and an old one is removed.

    The file appears whole or not at all. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.part")
    count = 0
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        async for row in rows:
            writer.writerow([row.line, row.external_id, row.reason])
            count += 1
    _publish(draft, path, worth=count > 0)
    return count


def _publish(draft: Path, path: Path, *, worth: bool) -> None:
    if worth:
        draft.replace(path)
    else:
        draft.unlink()
        path.unlink(missing_ok=True)
