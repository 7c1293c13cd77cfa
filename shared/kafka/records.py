"""A Kafka record as plain data, so that only `shared.kafka` and `shared.inbox` know the client."""

from dataclasses import dataclass

Partition = tuple[str, int]
"""Topic and partition number; equal to aiokafka's `TopicPartition`."""


@dataclass(slots=True)
class RawRecord:
    """One record as the topic holds it. `timestamp_ms` is the broker's append time (LogAppendTime).

    Treat it as immutable. It is not frozen, since constructing a frozen dataclass takes three times as long.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> bytes | None:
        """The value of the first header of that name, or None; producers send each name once."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
