"""Reading the files of a pack with the line of every value.

YAML is composed to nodes and not loaded: only nodes have lines, and all faults of a file are collected.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.policy.errors import Fault

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value, such as `("consult", "reply", "amount")`."""


class Document(NamedTuple):
    """A YAML file.

    Attributes
    ----------
    file
        Its name without the folder.
    data
        Mappings, lists and strings; None if the file could not be read, which is already reported as a fault.
    lines
        The line of each value, counted from 1.
    """

    file: str
    data: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """The line of a value, or of the nearest value that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class TableLine(NamedTuple):
    """A record of a CSV file: the line on which it begins, and its cells that are not empty."""

    line: int
    cells: dict[str, str]


# Spreadsheet programs on Windows begin a file with a byte order mark.
_UTF8 = "utf-8-sig"
_DEEPEST = 20


def read_yaml(path: Path, faults: list[Fault]) -> Document:
    """Read a YAML file and append its faults to `faults`.

    Every scalar stays a string, so that `NO` is not a boolean and `12:30` not a number.
    """
    document = Document(path.name, None, {})
    try:
        text = path.read_text(encoding=_UTF8)
        if tangled := _tangled(text):
            faults.append(Fault(path.name, *tangled))
            return document
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        faults.append(_unread(path, error))
        return document
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        faults.append(Fault(path.name, line, f"this is not YAML: {error.problem}"))
        return document
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        faults.append(Fault(path.name, None, f"this is not YAML in UTF-8: {one_line(error)}"))
        return document
    if not isinstance(node, yaml.MappingNode):
        faults.append(Fault(path.name, 1, "expected `key: value` lines"))
        return document
    return document._replace(data=_plain(node, (), document, faults))


def _unread(path: Path, error: OSError) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault(path.name, None, "the file is missing: a pack needs it")
    return Fault(path.name, None, f"the file cannot be read: {error.strerror}")


def _tangled(text: str) -> tuple[int, str] | None:
    """Line and message if the structure is endless (an alias inside its own anchor) or nested too deeply."""
    around: list[str | None] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            around.append(event.anchor)
            if len(around) > _DEEPEST:
                return line, f"more than {_DEEPEST} levels inside each other: no table of a pack is so deep"
        elif isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.AliasEvent) and event.anchor in around:
            return line, f"*{event.anchor} is inside &{event.anchor} itself: write the value out"
    return None


def one_line(error: Exception) -> str:
    """The message of an error without its line breaks."""
    return " ".join(str(error).split())


def _plain(node: yaml.Node, path: KeyPath, document: Document, faults: list[Fault]) -> Any:
    document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, n), document, faults) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                faults.append(Fault(document.file, line, "a key is one word: write `key: value`"))
                continue
            if key.value in found:
                faults.append(Fault(document.file, line, f"{key.value!r} occurs twice: keep one"))
            found[key.value] = _plain(value, (*path, key.value), document, faults)
            document.lines[*path, key.value] = line
        return found
    return node.value


def read_csv(path: Path, columns: Mapping[str, bool], faults: list[Fault]) -> Iterator[TableLine]:
    """Yield the records of a CSV file and append its faults to `faults`.

    Parameters
    ----------
    path
        A file in UTF-8 with a header; an empty cell counts as absent.
    columns
        The columns that the file may have; True for those that it must have.
    """
    begins = 1
    try:
        with path.open(newline="", encoding=_UTF8) as file:
            reader = csv.DictReader(file, strict=True)
            if fault := _wrong_header(reader.fieldnames or (), columns):
                faults.append(Fault(path.name, 1, fault))
                return
            begins = reader.line_num + 1
            for row in reader:
                line, begins = begins, reader.line_num + 1
                if None in row or None in row.values():
                    message = (
                        f"expected {len(reader.fieldnames or ())} cells: quote a cell that holds a comma"
                    )
                    faults.append(Fault(path.name, line, message))
                    continue
                yield TableLine(line, {name: cell for name, cell in row.items() if cell})
    except OSError as error:
        faults.append(_unread(path, error))
    except UnicodeDecodeError as error:
        faults.append(Fault(path.name, None, f"this is not CSV in UTF-8: {one_line(error)}"))
    except csv.Error as error:
        faults.append(Fault(path.name, begins, f"this is not CSV: {one_line(error)}"))


def _wrong_header(names: Sequence[str], columns: Mapping[str, bool]) -> str | None:
    known = ", ".join(sorted(columns))
    if not names:
        return f"the file is empty: begin with a line of the columns {known}"
    if unknown := [name for name in names if name not in columns]:
        return f"unknown column {', '.join(unknown)}: the columns are {known}"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"column {', '.join(twice)} occurs twice: delete one"
    if missing := [name for name, needed in columns.items() if needed and name not in names]:
        return f"column {', '.join(missing)} is missing: add it"
    return None
