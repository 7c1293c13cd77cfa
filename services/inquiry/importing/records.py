"""Reads records one at a time from CSV or JSON Lines in UTF-8, in constant memory.

A record that cannot be read is reported with its lines, and reading goes on after it.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from shared.errors import CivicloomError

MAX_LINE_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"


class UnusableFile(CivicloomError):
    """No record can be read: the header is missing or lacks a column that the mapping names."""


@dataclass(frozen=True, slots=True)
class Record:
    """The cells by column. `line` is the physical line on which it begins, from 1."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Lines that are no record: the first of them, and the reason."""

    line: int
    reason: str


class Lines:
    """Physical lines of a binary file as text, with their line ends; counts lines and bytes.

    Bytes that are not UTF-8 become lone surrogates and leave a fault, as an overlong line does: the parser
    goes on, and `take_fault` gets its record refused.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.bytes_read = 0
        self._fault: str | None = None

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(MAX_LINE_BYTES):
            self.number += 1
            self.bytes_read += len(line)
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                self._skip_rest()
                line = b"\n"
            if self.number == 1:
                line = line.removeprefix(_BOM)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                self._fault = f"byte {error.object[error.start]:#04x} in line {self.number} is not UTF-8"
                yield line.decode("utf-8", "surrogateescape")

    def take_fault(self) -> str | None:
        """The last fault in the lines read since the previous call."""
        fault, self._fault = self._fault, None
        return fault

    def _skip_rest(self) -> None:
        self._fault = f"line {self.number} is longer than {MAX_LINE_BYTES} bytes"
        while rest := self._file.readline(MAX_LINE_BYTES):
            self.bytes_read += len(rest)
            if rest.endswith(b"\n"):
                return


def read_records(path: Path, lines: Lines, form: str, columns: list[str]) -> Iterator[Record | Unreadable]:
    """The records of `lines`, each with the cells of `columns`. Raises UnusableFile before the first."""
    return _csv_records(path, lines, columns) if form == "csv" else _json_records(lines, columns)


def _csv_records(path: Path, lines: Lines, columns: list[str]) -> Iterator[Record | Unreadable]:
    reader = csv.reader(iter(lines), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise UnusableFile(f"{path}:1: the header is not valid CSV: {error}") from error
    if fault := lines.take_fault():
        raise UnusableFile(f"{path}: {fault}")
    for column in columns:
        if header.count(column) != 1:
            found = "has no" if column not in header else "has more than one"
            raise UnusableFile(f"{path}:1: the file {found} column {column!r}: it has {', '.join(header)}")
    indexes = {column: header.index(column) for column in columns}
    while True:
        begins = lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lines.take_fault()
            yield Unreadable(begins, f"lines {begins} to {lines.number} are not valid CSV: {_plainly(error)}")
            continue
        if cells is None:
            return
        if fault := lines.take_fault():
            yield Unreadable(begins, fault)
        elif not cells:
            continue  # a blank line
        elif len(cells) != len(header):
            extent = f" (lines {begins} to {lines.number})" if lines.number > begins else ""
            yield Unreadable(begins, f"{len(cells)} cells, the header has {len(header)}{extent}")
        else:
            yield Record(begins, {column: cells[index] for column, index in indexes.items()})


def _plainly(error: csv.Error) -> str:
    message = str(error)
    if "field limit" in message or "unexpected end of data" in message:
        return "a quoted cell does not end; is a quotation mark missing?"
    return message


def _json_records(lines: Lines, columns: list[str]) -> Iterator[Record | Unreadable]:
    for line in lines:
        if fault := lines.take_fault():
            yield Unreadable(lines.number, fault)
        elif line.strip(" \t\r\n"):
            try:
                yield Record(lines.number, _cells(line, columns))
            except ValueError as error:
                yield Unreadable(lines.number, str(error))


def _cells(line: str, columns: list[str]) -> dict[str, str]:
    # Numbers keep their spelling: an identifier of twenty digits must not become a float.
    try:
        found = json.loads(line, parse_int=str, parse_float=str, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"this is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object on each line")  # noqa: TRY004  (a fault of the data)
    return {column: _cell(column, found.get(column)) for column in columns}


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{column} is neither text nor a number")  # noqa: TRY004  (a fault of the data)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{column} holds half a surrogate pair") from None
    return value


def _no_number(name: str) -> str:
    raise ValueError(f"{name} is not a JSON number")
