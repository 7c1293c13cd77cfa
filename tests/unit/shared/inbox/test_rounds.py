"""Rounds: order per aggregate with as few rounds as possible; duplicates; the event that fails is found."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from shared.contracts.routing import CaseTriaged
from shared.errors import Undecodable
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Fault, Handler, Results, subject_only
from shared.inbox.rounds import Item, apply, in_rounds, is_duplicate, known_actions
from shared.unit_of_work.transaction import Tx
from tests.unit.shared.made import raw


def item(name: str, *locks: str) -> Item:
    return Item(raw(b""), name, locks)


def names(rounds: Sequence[Sequence[Item]]) -> list[list[str]]:
    return [[one.key for one in group] for group in rounds]


def test_events_of_different_aggregates_share_a_round() -> None:
    assert names(in_rounds([item("a", "a"), item("b", "b"), item("c", "c")])) == [["a", "b", "c"]]


def test_events_of_one_aggregate_are_in_rounds_of_their_order() -> None:
    items = [item("a1", "a"), item("b1", "b"), item("a2", "a"), item("a3", "a"), item("b2", "b")]
    assert names(in_rounds(items)) == [["a1", "b1"], ["a2", "b2"], ["a3"]]


def test_an_event_with_two_aggregates_comes_after_both() -> None:
    items = [item("a1", "a"), item("a2", "a"), item("both", "a", "b"), item("b1", "b")]
    assert names(in_rounds(items)) == [["a1"], ["a2"], ["both"], ["b1"]]
    backwards = [item("a1", "a"), item("a2", "a"), item("both", "b", "a"), item("a3", "a"), item("b1", "b")]
    assert names(in_rounds(backwards)) == [["a1"], ["a2"], ["both"], ["a3", "b1"]]


def test_no_items_make_no_rounds() -> None:
    assert in_rounds([]) == []


class FakeTx:
    """What `apply` needs of a unit of work; savepoints do nothing but are counted."""

    def __init__(self) -> None:
        self.processed: list[int] = []
        self.actions: list[str] = []
        self.savepoints = 0
        self.connection = self
        self.rows: list[dict[str, str]] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self.savepoints += 1
        yield

    async def fetch(self, _: str, sources: list[str], identifiers: list[str]) -> list[dict[str, str]]:
        asked = list(zip(sources, identifiers, strict=True))
        return [row for row in self.rows if (row["source"], row["id"]) in asked]

    def last_ordinal(self, aggregate: str, source: str) -> int:
        return {("case", "/s"): 7}.get((aggregate, source), 0)

    def mark_processed(self, _: str, __: str, ordinal: int) -> None:
        self.processed.append(ordinal)

    def mark_action_processed(self, _: str, identifier: str) -> None:
        self.actions.append(identifier)

    def snapshot(self) -> object:
        return list(self.processed)

    def restore(self, snapshot: Any) -> None:
        self.processed = snapshot


def event(ordinal: int | None, *, subject: str = "case", source: str = "/s", id_: str = "e") -> Any:
    inner = SimpleNamespace(source=source, type="t", id=id_, subject=subject, correlationid=None)
    return SimpleNamespace(ordinal=ordinal, subject=subject, id=id_, event=inner)


@pytest.mark.parametrize(
    ("made", "duplicate"),
    [
        (event(6), True),
        (event(7), True),
        (event(8), False),
        (event(1, source="/other"), False),
        (event(1, subject="other"), False),
        (event(None), False),
    ],
)
def test_an_event_not_above_the_last_of_its_source_and_subject_is_a_duplicate(
    made: Any, duplicate: bool
) -> None:
    tx: Any = FakeTx()
    assert is_duplicate(tx, made) is duplicate


async def test_an_action_is_known_by_its_topic_and_its_id() -> None:
    tx: Any = FakeTx()
    tx.rows = [{"source": "/s", "id": "one"}, {"source": "/s", "id": "3"}]
    events = [event(None, id_="one"), event(None, id_="two"), event(3, id_="3")]
    assert await known_actions(tx, events) == {("/s", "one")}
    assert await known_actions(tx, [event(3)]) == set()


def handler(run: Any) -> Handler:
    return Handler(CaseTriaged.contract, subject_only, run)


def failing(*bad: int, error: Exception) -> Handler:
    async def run(_: Tx, events: list[IncomingEvent[Any]]) -> Results:
        if any(one.ordinal in bad for one in events):
            raise error
        return None

    return handler(run)


async def test_what_was_applied_is_marked_and_what_was_not_is_not() -> None:
    async def run(_: Tx, events: list[IncomingEvent[Any]]) -> Results:
        return [Fault("no", "") if one.ordinal == 2 else None for one in events]

    tx: Any = FakeTx()
    found = await apply(tx, handler(run), [event(1), event(2), event(None, id_="a")], careful=False)
    assert found == [None, Fault("no", ""), None]
    assert (tx.processed, tx.actions, tx.savepoints) == ([1], ["a"], 0)


async def test_without_care_an_error_ends_the_batch() -> None:
    tx: Any = FakeTx()
    with pytest.raises(ValueError, match="bad"):
        await apply(tx, failing(2, error=ValueError("bad")), [event(1), event(2)], careful=False)


async def test_with_care_halving_isolates_the_events_that_fail() -> None:
    tx: Any = FakeTx()
    events = [event(n) for n in range(1, 9)]
    found = await apply(tx, failing(3, 8, error=ValueError("bad")), events, careful=True)
    assert [n for n, fault in enumerate(found, 1) if fault] == [3, 8]
    assert found[2] == Fault("ValueError", "bad")
    assert tx.processed == [1, 2, 4, 5, 6, 7]


async def test_an_error_that_no_retry_can_help_is_permanent() -> None:
    tx: Any = FakeTx()
    found = await apply(tx, failing(1, error=Undecodable("x")), [event(1)], careful=True)
    assert found == [Fault("Undecodable", "x", permanent=True)]
    found = await apply(tx, failing(1, error=ValueError("x")), [event(1)], careful=True)
    assert found == [Fault("ValueError", "x", permanent=False)]


async def test_a_fault_of_the_infrastructure_is_nobodys_and_is_raised() -> None:
    tx: Any = FakeTx()
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        error = asyncpg.ConnectionDoesNotExistError("gone")
        await apply(tx, failing(1, error=error), [event(1)], careful=True)


async def test_a_handler_must_answer_for_every_event() -> None:
    async def run(_: Tx, __: list[IncomingEvent[Any]]) -> Results:
        return [None]

    tx: Any = FakeTx()
    with pytest.raises(RuntimeError, match="returned 1 results for 2 events"):
        await apply(tx, handler(run), [event(1), event(2)], careful=False)
