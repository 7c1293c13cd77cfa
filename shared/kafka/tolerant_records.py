"""Parses fetched records like aiokafka, and also accepts header names that are not UTF-8.

Kafka accepts any bytes as a header name; aiokafka raises on them. One record of a foreign client would stop
every reader of its partition, again at each restart.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from shared.kafka.aiokafka_internals import PythonRecordBatch

_LENGTH = slice(8, 12)  # the field of a batch's head that counts the bytes after it


class _Buffer(bytearray):
    """Bytes that always decode: invalid UTF-8 becomes `\\xff` escapes, which any table can store."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Buffer(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _TolerantBatch(PythonRecordBatch):
    """aiokafka's pure-Python decoder over a buffer that always decodes."""

    def decodable(self, buffer: bytearray) -> bytearray:
        return _Buffer(buffer)


class _Batch:
    """aiokafka's fast decoder; the tolerant one over the same bytes if that one fails."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        # A control batch is asked for its marker alone.
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException):
            return iter(_TolerantBatch(self._data))


class TolerantRecords:
    """The record batches that a fetch returned for one partition; same interface as `MemoryRecords`."""

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
