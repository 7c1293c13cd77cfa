"""The ids seen so far in a file, in a temporary SQLite database on disk: constant memory for any file."""

import sqlite3


class SeenIds:
    """The line on which each id stood first. It lasts as long as the import runs."""

    def __init__(self) -> None:
        # An empty name is a private database: SQLite spills it to a temporary file and removes it on close.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def first_line(self, external_id: str, line: int) -> int:
        """The line on which the id stood first. An id that is new is remembered with `line`."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (external_id, line))
        if added.rowcount == 1:
            return line
        found = self._database.execute("SELECT line FROM seen WHERE id = ?", (external_id,)).fetchone()
        return int(found[0])

    def close(self) -> None:
        self._database.close()
