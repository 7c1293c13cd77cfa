"""What clients that are not ours may write to a topic, though ours would refuse to."""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

_CRC, _ATTRIBUTES = 17, 21  # where these stand in a batch; the sum is over all from the attributes on


class _Builder:
    """Exchanges, in the finished batch, a name of the same length."""

    def __init__(self, builder: Any, placeholder: bytes, name: bytes) -> None:
        self._builder = builder
        self._placeholder = placeholder
        self._name = name

    def build(self) -> bytes:
        data = bytes(self._builder.build())
        assert data.count(self._placeholder) == 1
        rest = data[_ATTRIBUTES:].replace(self._placeholder, self._name)
        return data[:_CRC] + calc_crc32c(rest).to_bytes(4, "big") + rest

    def size(self) -> int:
        return int(self._builder.size())


async def send_with_header(
    producer: AIOKafkaProducer, topic: str, key: bytes, value: bytes, name: bytes
) -> int:
    """Sends one record to partition 0 with a header of this name, which may be any bytes; its offset."""
    placeholder = "~" * len(name)
    batch = producer.create_batch()
    batch.append(key=key, value=value, timestamp=None, headers=[(placeholder, b"x")])
    batch._builder = _Builder(batch._builder, placeholder.encode(), name)
    sent = await (await producer.send_batch(batch, topic, partition=0))
    return int(sent.offset)
