"""Where each acknowledged case is, by the tables alone: for runs in which topics no longer hold everything.

`harness.history` needs the topics to be whole. Here a case counts as carried on if routing has dispatched or
triaged it and the log has the event of its intake; otherwise somebody must name it.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from harness.history import Violation
from harness.observation import Observation


class Whereabouts(NamedTuple):
    """How far a case came, and whether a service says that it waits for it."""

    case: str
    received: bool
    dispatched: bool
    logged: bool
    named: bool

    @property
    def is_whole(self) -> bool:
        return self.received and self.dispatched and self.logged


async def whereabouts(observation: Observation, cases: Collection[str]) -> list[Whereabouts]:
    """The whereabouts of cases, by their ids."""
    async with observation.tables("inquiry") as tables:
        received = await tables.fetch("SELECT id FROM inquiry WHERE number IS NOT NULL")
        named = await tables.fetch("SELECT subject AS id FROM expectation")
    async with observation.tables("routing") as tables:
        dispatched = await tables.fetch(
            "SELECT id FROM case_file WHERE attempt > 0 OR triaged_at IS NOT NULL"
        )
        named += await tables.fetch("SELECT subject AS id FROM expectation")
    async with observation.tables("audit") as tables:
        logged = await tables.fetch(
            "SELECT subject AS id FROM log_entry JOIN log_subject ON no = subject_no"
            " WHERE type = 'civic.inquiry.received.v1' AND kind = 'event'"
        )
        named += await tables.fetch("SELECT subject AS id FROM expectation")
    sets = [{row["id"] for row in rows} for rows in (received, dispatched, logged, named)]
    return [Whereabouts(case, *(case in one for one in sets)) for case in cases]


def check_named(found: Iterable[Whereabouts]) -> list[Violation]:
    """No case is lost in silence: what was not dispatched is named."""
    return [
        Violation("answered", f"{one.case} was acknowledged, went nowhere, and nobody names it")
        for one in found
        if not one.dispatched and not one.named
    ]


def check_whole(found: Iterable[Whereabouts]) -> list[Violation]:
    """Every acknowledged case was carried on."""
    return [Violation("I1", f"not whole: {one}") for one in found if not one.is_whole]
