"""Reading the files of a pack so that every value remembers the line on which it stands."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.policy.errors import Problem

Place = tuple[str | int, ...]


class Document(NamedTuple):
    """A YAML file: its data, and the line of each place in it, such as ("consult", "reply", "amount").

    Without data it could not be read, which is told already.
    """

    file: str
    data: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class TableLine(NamedTuple):
    """A line of a CSV file: where it begins and its cells that are not empty."""

    line: int
    cells: dict[str, str]


# A spreadsheet program on Windows begins a file with a mark of its byte order, which is no part of it.
_UTF8 = "utf-8-sig"
_DEEPEST = 20


def read_yaml(path: Path, problems: list[Problem]) -> Document:
    """Read a YAML file; every scalar stays a string (so that `NO` is no boolean and `12:30` no number)."""
    document = Document(path.name, None, {})
    try:
        text = path.read_text(encoding=_UTF8)
        if tangled := _tangled(text):
            problems.append(Problem(path.name, *tangled))
            return document
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        problems.append(_unread(path, error))
        return document
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problems.append(Problem(path.name, line, f"this is no YAML: {error.problem}"))
        return document
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(Problem(path.name, None, f"this is no YAML in UTF-8: {one_line(error)}"))
        return document
    if not isinstance(node, yaml.MappingNode):
        problems.append(Problem(path.name, 1, "expected `key: value` lines"))
        return document
    return document._replace(data=_plain(node, (), document, problems))


def _unread(path: Path, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(path.name, None, "the file is missing: a pack needs it")
    return Problem(path.name, None, f"the file cannot be read: {error.strerror}")


def _tangled(text: str) -> tuple[int, str] | None:
    """Line and fault of what nobody can follow to its end: an alias inside what it stands for, or depth."""
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
            return line, f"*{event.anchor} stands inside &{event.anchor} itself: write the value out"
    return None


def one_line(error: Exception) -> str:
    """The words of an error without its line breaks."""
    return " ".join(str(error).split())


def _plain(node: yaml.Node, place: Place, document: Document, problems: list[Problem]) -> Any:
    document.lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, n), document, problems) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(document.file, line, "a key is one word: write `key: value`"))
                continue
            if key.value in found:
                problems.append(Problem(document.file, line, f"{key.value!r} stands twice: keep one"))
            found[key.value] = _plain(value, (*place, key.value), document, problems)
            document.lines[*place, key.value] = line
        return found
    return node.value


def read_csv(path: Path, columns: Mapping[str, bool], problems: list[Problem]) -> Iterator[TableLine]:
    """Yield the lines of a CSV file in UTF-8 with a header; an empty cell counts as left out.

    `columns` says of each whether a row must have it.
    """
    begins = 1
    try:
        with path.open(newline="", encoding=_UTF8) as file:
            reader = csv.DictReader(file, strict=True)
            if fault := _wrong_header(reader.fieldnames or (), columns):
                problems.append(Problem(path.name, 1, fault))
                return
            begins = reader.line_num + 1
            for row in reader:
                line, begins = begins, reader.line_num + 1
                if None in row or None in row.values():
                    message = (
                        f"expected {len(reader.fieldnames or ())} cells: quote a cell that holds a comma"
                    )
                    problems.append(Problem(path.name, line, message))
                    continue
                yield TableLine(line, {name: cell for name, cell in row.items() if cell})
    except OSError as error:
        problems.append(_unread(path, error))
    except UnicodeDecodeError as error:
        problems.append(Problem(path.name, None, f"this is no CSV in UTF-8: {one_line(error)}"))
    except csv.Error as error:
        problems.append(Problem(path.name, begins, f"this is no CSV: {one_line(error)}"))


def _wrong_header(names: Sequence[str], columns: Mapping[str, bool]) -> str | None:
    known = ", ".join(sorted(columns))
    if not names:
        return f"the file is empty: begin with a line of the columns {known}"
    if unknown := [name for name in names if name not in columns]:
        return f"unknown column {', '.join(unknown)}: the columns are {known}"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"column {', '.join(twice)} stands twice: delete one"
    if missing := [name for name, needed in columns.items() if needed and name not in names]:
        return f"column {', '.join(missing)} is missing: add it"
    return None
