"""A sample service on a real database: routing's tables, handlers that count, records made by hand."""

import datetime as dt
from collections.abc import AsyncIterator

import pytest

from harness.schema import open_service_database
from shared.contracts import registry  # noqa: F401
from shared.contracts.base import EventData, Words
from shared.contracts.inquiry import InquiryReceived, InquiryWords
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import case_number, derived_id, new_id
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


@pytest.fixture
async def routing(database: str, namespace: str) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "routing", namespace=namespace)
    await opened.pool.execute("CREATE TABLE IF NOT EXISTS applied (n serial, subject text, sequence int)")
    yield opened
    tables = (
        "applied, aggregate, outbox, outbox_aside, cursor, seen_event, parked_key, parked_event, topic_loss"
    )
    await opened.pool.execute(f"TRUNCATE {tables}, dead_letter, flood, timer, idempotency_key, expectation")
    await opened.close()


class Source:
    """Makes inquiry's records by hand, with the offsets of one partition."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.records: list[RawRecord] = []
        self._sequences: dict[tuple[str, str], int] = {}

    def received(
        self, subject: str | None = None, *, title: str = "路灯不亮", **changes: object
    ) -> RawRecord:
        from zoneinfo import ZoneInfo

        subject = subject or new_id(NOW)
        data = InquiryReceived(
            number=case_number(subject, ZoneInfo("Asia/Shanghai")),
            kind="complaint",
            service_code="street-light",
            channel="web",
            secret_hash="0" * 64,
        )
        record = self.fact(subject, data, InquiryWords(title=title, text="第三盏灯两天不亮了。"))
        for name, new in changes.items():
            if name.startswith("replace"):
                record.value = (record.value or b"").replace(*new)  # type: ignore[misc]
        return record

    def fact(
        self, subject: str, data: EventData, words: Words | None = None, *, source: str = "/services/inquiry"
    ) -> RawRecord:
        """An event of a source about a subject, with the next sequence."""
        sequence = self._sequences[subject, source] = self._sequences.get((subject, source), 0) + 1
        encoded = encode_words(words) if words else None
        draft = Draft(
            id=derived_id(subject, data.contract.type, str(sequence)),
            source=source,
            subject=subject,
            time=NOW,
            sequence=sequence,
            epoch=1,
            key=subject,
            correlation=subject,
            causation=None,
            effective=NOW,
            actor="citizen",
            policy=None,
            jurisdiction=None,
            data=data,
        )
        return self.add(encode_value(draft, encoded), encoded, subject)

    def add(self, value: bytes, words: bytes | None = None, key: str | None = None) -> RawRecord:
        headers = (("words", words),) if words is not None else ()
        record = RawRecord(
            self.topic, 0, len(self.records), 1_764_000_000_000, key.encode() if key else None, value, headers
        )
        self.records.append(record)
        return record


@pytest.fixture
def source(namespace: str) -> Source:
    return Source(f"{namespace}.inquiry.v1")
