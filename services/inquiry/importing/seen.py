"""The ids that a file has shown so far, in a temporary database on disk: memory stays flat for any file."""

import sqlite3


class SeenIds:
    """Remembers on which line an id stood first. Kept only while an import runs."""

    def __init__(self) -> None:
        # An empty name is a private database that SQLite spills to a temporary file and removes at the end.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def first_line(self, external_id: str, line: int) -> int:
        """The line on which the id stood first: `line` itself if it is new, and then remembered."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (external_id, line))
        if added.rowcount == 1:
            return line
        found = self._database.execute("SELECT line FROM seen WHERE id = ?", (external_id,)).fetchone()
        return int(found[0])

    def close(self) -> None:
        self._database.close()
