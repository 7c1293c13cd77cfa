"""Records that foreign clients may write to a topic and our own client refuses to write."""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

# Positions in a batch. The length counts what follows it; the checksum covers all from the attributes on.
_LENGTH_END, _CRC, _ATTRIBUTES, _RECORDS = 12, 17, 21, 61


class _Builder:
    """Replaces a header name in the finished batch by one of the same length."""

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


class _SnappyBuilder:
    """Compresses the finished batch as a client with snappy does, as one literal that any decoder accepts."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def build(self) -> bytes:
        data = bytes(self._builder.build())
        head, records = data[_ATTRIBUTES:_RECORDS], data[_RECORDS:]
        assert 2**7 <= len(records) < 2**8
        block = bytes([len(records) & 0x7F | 0x80, 1, 60 << 2, len(records) - 1]) + records
        packed = b"\x82SNAPPY\0" + b"".join(n.to_bytes(4, "big") for n in (1, 1, len(block))) + block
        rest = (2).to_bytes(2, "big") + head[2:] + packed
        length = (len(data) - _LENGTH_END - len(records) + len(packed)).to_bytes(4, "big")
        start = data[: _LENGTH_END - 4] + length + data[_LENGTH_END:_CRC]
        return start + calc_crc32c(rest).to_bytes(4, "big") + rest

    def size(self) -> int:
        return int(self._builder.size())


async def send_packed(producer: AIOKafkaProducer, topic: str) -> int:
    """Sends one record to partition 0 in a batch that is compressed with snappy; its offset."""
    batch = producer.create_batch()
    batch.append(key=b"key", value=b"x" * 150, timestamp=None)
    batch._builder = _SnappyBuilder(batch._builder)
    sent = await (await producer.send_batch(batch, topic, partition=0))
    return int(sent.offset)
