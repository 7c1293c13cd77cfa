"""A Kafka record as plain data, so that only `shared.kafka` and `shared.inbox.consumer` know the client."""

from dataclasses import dataclass


@dataclass(slots=True)
class RawRecord:
    """One record as it stood on the topic. `timestamp_ms` is the broker's append time (LogAppendTime).

    Not frozen, though nobody changes it: making a frozen dataclass costs three times as much.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> bytes | None:
        """The first header of that name; producers send each name once."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
