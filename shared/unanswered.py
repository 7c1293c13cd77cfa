"""Counts the cases that nobody answers, for the gauge, the alert and `/readyz`."""

import datetime as dt

from shared.clock import machine_now
from shared.metrics import UNANSWERED
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import MOST_COUNTED, Kind, count_unanswered


class UnansweredWatch:
    """The unanswered cases of one service at its last count."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = dt.timedelta(seconds=database.settings.unanswered_after_seconds)
        self._counts: dict[Kind, int] = {}

    async def check(self) -> None:
        """Counts once. Raises what the database raises."""
        self._counts = await count_unanswered(self._database.pool, machine_now() - self._after)
        for kind, count in self._counts.items():
            UNANSWERED.labels(kind).set(count)

    def reasons(self) -> dict[str, str]:
        """For `/readyz`: what waits, and the command that names it; empty if all is answered."""
        waiting = [f"{_words(count)} for {kind}" for kind, count in self._counts.items() if count]
        if not waiting:
            return {}
        return {"cases": f"unanswered: {', '.join(waiting)}; `civicloom status` names them"}


def _words(count: int) -> str:
    return f"{count:,} or more" if count == MOST_COUNTED else str(count)
