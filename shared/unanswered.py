"""Counts the cases that nobody answers, for the gauge, the alert and `/readyz`."""

import datetime as dt

from shared.clock import machine_now
from shared.metrics import UNANSWERED
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Kind, Overdue, count_unanswered


class UnansweredWatch:
    """The unanswered cases of one service at its last count."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = dt.timedelta(seconds=database.settings.unanswered_after_seconds)
        self._counts: dict[Kind, Overdue] = {}

    async def check(self) -> None:
        """Counts once. Raises what the database raises."""
        self._counts = await count_unanswered(self._database.pool, machine_now() - self._after)
        for kind, found in self._counts.items():
            UNANSWERED.labels(kind).set(found.cases)

    def reasons(self) -> dict[str, str]:
        """For `/readyz`: what waits, and the command that names it; empty if all is answered."""
        waiting = [f"{_words(found)} for {kind}" for kind, found in self._counts.items() if found.cases]
        if not waiting:
            return {}
        return {"cases": f"unanswered: {', '.join(waiting)}; `civicloom status` names them"}


def _words(found: Overdue) -> str:
    return f"{found.cases:,} or more" if found.or_more else f"{found.cases:,}"
