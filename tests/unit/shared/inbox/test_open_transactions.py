"""Records that wait for the end of a transaction are shown once that has lasted."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.inbox import open_transactions
from shared.inbox.open_transactions import OpenTransactions
from shared.metrics import OPEN_TRANSACTION

ONE, OTHER = ("t", 0), ("t", 1)


class Client:
    """The ends of each partition: of the log, and of what is decided."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], tuple[int | None, int | None]] = {ONE: (None, None)}

    def assignment(self) -> set[tuple[str, int]]:
        return set(self.ends)

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.ends[partition][0]

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        return self.ends[partition][1]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    moment = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(open_transactions, "time", SimpleNamespace(monotonic=lambda: moment.seconds))
    return moment


def gauge() -> Any:
    return OPEN_TRANSACTION.labels("c", "t")._value.get()


def test_a_transaction_is_shown_after_two_minutes_until_it_ends(now: SimpleNamespace) -> None:
    client, shown = Client(), OpenTransactions("c")
    shown.measure(client, [ONE])
    client.ends = {ONE: (9, 4), OTHER: (3, 3)}
    shown.measure(client, [ONE, OTHER])
    assert (shown.shown(), gauge()) == ([], 0)
    now.seconds += 121
    client.ends[ONE] = (15, 4)
    shown.measure(client, [ONE, OTHER])
    assert (shown.shown(), gauge()) == (["t"], 121)
    client.ends[ONE] = (16, 16)
    shown.measure(client, [ONE, OTHER])
    assert (shown.shown(), gauge()) == ([], 0)


def test_one_transaction_after_another_is_not_one_that_stays_open(now: SimpleNamespace) -> None:
    client, shown = Client(), OpenTransactions("c")
    for stable in range(0, 1000, 10):
        client.ends[ONE] = (stable + 5, stable)
        shown.measure(client, [ONE])
        now.seconds += 100
        assert shown.shown() == []


def test_a_partition_that_was_revoked_is_not_shown(now: SimpleNamespace) -> None:
    client, shown = Client(), OpenTransactions("c")
    client.ends[ONE] = (9, 4)
    shown.measure(client, [ONE])
    now.seconds += 500
    shown.measure(client, [])
    assert (shown.shown(), gauge()) == ([], 0)
