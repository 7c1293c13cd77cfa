"""Reading the files of a pack so that every value remembers the line on which it stands."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.policy.errors import Problem

Place = tuple[str | int, ...]


class Document(NamedTuple):
    """A YAML file: its data, and the line of each place in it, such as ("consult", "reply", "amount")."""

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


def read_yaml(path: Path, problems: list[Problem]) -> Document:
    """Read a YAML file; every scalar stays a string (so that `NO` is no boolean and `12:30` no number)."""
    document = Document(path.name, {}, {})
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        problems.append(Problem(path.name, None, "the file is missing: a pack needs it"))
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
            if key.value in found:
                line = key.start_mark.line + 1
                problems.append(Problem(document.file, line, f"{key.value!r} stands twice: keep one"))
            found[key.value] = _plain(value, (*place, key.value), document, problems)
            document.lines[*place, key.value] = key.start_mark.line + 1
        return found
    return node.value


def read_csv(path: Path, columns: set[str], problems: list[Problem]) -> Iterator[TableLine]:
    """Yield the lines of a CSV file in UTF-8 with a header; an empty cell counts as left out."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            unknown = [name for name in reader.fieldnames or () if name not in columns]
            if unknown:
                message = f"unknown column {', '.join(unknown)}: the columns are {', '.join(sorted(columns))}"
                problems.append(Problem(path.name, 1, message))
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
    except FileNotFoundError:
        problems.append(Problem(path.name, None, "the file is missing: a pack needs it"))
    except (UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem(path.name, None, f"this is no CSV in UTF-8: {one_line(error)}"))
