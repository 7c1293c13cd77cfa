"""Records as the Kafka client reads them, but also those whose header names are not UTF-8.

Kafka takes any bytes as a name, and the client meets them with an exception: one record of somebody else's
client would end every reader of its partition, at each start anew.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = slice(8, 12)  # of a batch: of what comes behind these four bytes


class _Buffer(bytearray):
    """Bytes that decode always: what is not UTF-8 is written out as `\\xff`, which can be stored anywhere."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Buffer(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """The client's own decoder in Python, over a buffer that decodes always."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _Buffer(self._buffer)


class _Batch:
    """The client's fast decoder; the tolerant one, over the same bytes, where that gives up."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException):
            return iter(_TolerantBatch(self._data))


class TolerantRecords:
    """What a fetch has brought of one partition, batch by batch."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._rest = memoryview(data)

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def next_batch(self) -> Any:
        end = _LENGTH.stop + int.from_bytes(self._rest[_LENGTH], "big")
        data, self._rest = self._rest[:end], self._rest[end:]
        return _Batch(self._records.next_batch(), data)
