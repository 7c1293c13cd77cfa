"""The differences between two versions of a pack, file by file and row by row."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from shared.policy.model import Pack
from shared.policy.tables import Head


class Change(NamedTuple):
    """One difference.

    Attributes
    ----------
    file, row
        The file of the pack, and the code of the row in it; empty for pack.yaml, which is one row.
    change
        `moved` is another order of a table's rows, which is the order in which pages list them.
    field
        A path such as `reply.amount`; None unless a field `changed`.
    old, new
        The values of the field; for a row that was removed or added the whole row, as JSON values.
    """

    file: str
    row: str
    change: Literal["added", "removed", "changed", "moved"]
    field: str | None = None
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        named = f"{self.row}: " if self.row else ""
        match self.change:
            case "added":
                return f"+ {self.row}{_called(self.new)}"
            case "removed":
                return f"- {self.row}{_called(self.old)}"
            case "moved":
                return "~ the rows are in another order"
            case "changed":
                return f"~ {named}{self.field} {_plainly(self.old)} -> {_plainly(self.new)}"


Rows = dict[str, dict[str, Any]]


def diff(old: Pack, new: Pack) -> list[Change]:
    """Every difference, in the order of the files; empty if and only if both are the same version."""
    before, after = _files(old), _files(new)
    return [change for file in before for change in _compare(file, before[file], after[file])]


def _files(pack: Pack) -> dict[str, Rows]:
    found = pack.model_dump(mode="json", exclude={"version"})
    calendar = found["calendar_table"]
    holidays: Rows = {}
    for year in calendar["years"]:
        days = year.pop("holidays")
        holidays |= {str(year["year"]): year, **_by("first", days)}
    return {
        "pack.yaml": {"": {name: found[name] for name in Head.model_fields}},
        "kinds.yaml": _by("code", found["kinds"]),
        "clocks.yaml": {"limits": found["limits"], **_by("code", found["clocks"])},
        "calendar.yaml": {"duty": calendar["duty"], "day_zero": calendar["day_zero"], **holidays},
        "services.csv": _by("service_code", found["services"]),
        "departments.csv": _by("code", found["departments"]),
        "areas.csv": _by("code", found["areas"]),
        "catalogue.csv": _by("rule_id", found["catalogue"]),
    }


def _by(key: str, rows: Iterable[dict[str, Any]]) -> Rows:
    return {row[key]: row for row in rows}


def _compare(file: str, old: Rows, new: Rows) -> Iterator[Change]:
    yield from (Change(file, row, "removed", old=old[row]) for row in old if row not in new)
    yield from (Change(file, row, "added", new=new[row]) for row in new if row not in old)
    for row in new:
        if row in old:
            before, after = dict(_cells(old[row])), dict(_cells(new[row]))
            for field in {**before, **after}:
                was, now = before.get(field), after.get(field)
                if was != now:
                    yield Change(file, row, "changed", field, was, now)
    if [row for row in old if row in new] != [row for row in new if row in old]:
        yield Change(file, "", "moved")


def _cells(row: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _cells(value, f"{within}{name}.")
        else:
            yield within + name, value


def _called(row: dict[str, Any]) -> str:
    name = row.get("name") or (row.get("title") or {}).get("en")
    return f" ({name})" if name else ""


def _plainly(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
