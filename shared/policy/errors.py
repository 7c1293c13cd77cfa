"""Errors of policy packs, written so that the author of a pack can correct it.

PolicyError
├── UnknownCode        a code that this version of the pack does not have
└── CalendarRange      a moment that the pack's calendar does not cover
"""

from collections.abc import Iterable
from typing import NamedTuple

from shared.errors import CivicloomError


class Fault(NamedTuple):
    """One fault of a pack: where it is and how to correct it. `line` counts from 1, None is the file."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        location = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{location}: {self.message}"


class PolicyError(CivicloomError):
    """A pack that cannot be used.

    Parameters
    ----------
    faults
        Every fault found, not only the first; `str()` has one per line.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class UnknownCode(PolicyError):
    """A code that the pack does not have.

    Parameters
    ----------
    what
        The table: `service`, `department`, `kind`, `clock` or `area`.
    code, version
        The code, and the version of the pack that lacks it.
    """

    def __init__(self, what: str, code: str, version: str) -> None:
        self.what, self.code, self.version = what, code, version
        super().__init__([Fault(version, None, f"there is no {what} {code!r} in this version of the pack")])


class CalendarRange(PolicyError):
    """A moment outside the years that the calendar was compiled for.

    Parameters
    ----------
    moment
        What was asked for, in words.
    first, last
        The first and the last day of the calendar, both inclusive.
    """

    def __init__(self, moment: str, first: str, last: str) -> None:
        self.moment = moment
        super().__init__(
            [Fault("calendar.yaml", None, f"{moment} is outside {first}..{last}: add its year under `years`")]
        )
