"""Records of several topics are applied in their order per key."""

from shared.kafka.records import RawRecord
from shared.restore.replay import in_chunks


def record(topic: str, key: str, offset: int) -> RawRecord:
    return RawRecord(topic, 0, offset, offset, key.encode(), b"{}")


def test_a_key_on_two_topics_ends_a_chunk() -> None:
    records = [record("inquiry", "a", 1), record("inquiry", "b", 2), record("actions", "a", 3)]
    records += [record("actions", "b", 4), record("inquiry", "a", 5)]
    assert [[one.offset for one in chunk] for chunk in in_chunks(records)] == [[1, 2], [3, 4], [5]]


def test_a_chunk_is_bounded() -> None:
    records = [record("inquiry", str(n), n) for n in range(1100)]
    assert [len(chunk) for chunk in in_chunks(records)] == [500, 500, 100]
