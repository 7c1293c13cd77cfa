"""Records and a fake connection for tests of the core's pure parts."""

import datetime as dt
from typing import Any

from shared.contracts import registry  # noqa: F401  (registers every type)
from shared.contracts.base import EventData, Words
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import derived_id, new_id
from shared.kafka.records import RawRecord

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
APPENDED_MS = 1_795_507_200_000  # NOW
CASE = new_id(NOW)


def draft(data: EventData, **changes: Any) -> Draft:
    """A draft of an event of its writer about CASE; `changes` are fields of Draft."""
    fields: dict[str, Any] = {
        "id": derived_id(CASE, data.contract.type),
        "source": f"/services/{data.contract.writer}",
        "subject": CASE,
        "time": NOW,
        "sequence": 1,
        "epoch": 1,
        "key": CASE,
        "correlation": CASE,
        "causation": None,
        "effective": NOW,
        "actor": None,
        "policy": None,
        "jurisdiction": None,
        "data": data,
    }
    return Draft(**{**fields, **changes})


def record(
    data: EventData, words: Words | None = None, *, topic: str | None = None, **changes: Any
) -> RawRecord:
    """The record of an event on its own topic, with its words."""
    encoded = encode_words(words) if words is not None else None
    headers = (("words", encoded),) if encoded is not None else ()
    value = encode_value(draft(data, **changes), encoded)
    return raw(value, topic=topic or f"civic.{data.contract.topic}.v1", headers=headers)


def raw(value: bytes | None, *, topic: str = "civic.inquiry.v1", headers: Any = ()) -> RawRecord:
    return RawRecord(topic, 0, 0, APPENDED_MS, CASE.encode(), value, headers)


async def no_connection() -> Any:
    raise AssertionError("nothing may be stored here")


class FakeConnection:
    """Answers each query of `answers`, given by its text, and remembers what was executed, in order."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.executed: list[tuple[str, tuple[Any, ...]]] = []

    async def execute(self, query: str, *arguments: Any) -> str:
        self.executed.append((query, arguments))
        return "OK"

    async def fetch(self, query: str, *arguments: Any) -> Any:
        self.executed.append((query, arguments))
        for part, rows in self.answers.items():
            if part in query:
                return rows
        return []
