"""What goes wrong with policy, said so that the author of a pack can mend it.

PolicyError
├── UnknownCode        a code that this version of the pack does not have
└── CalendarRange      a moment that the pack's calendar does not reach
"""

from collections.abc import Iterable
from typing import NamedTuple

from shared.errors import CivicloomError


class Problem(NamedTuple):
    """One fault of a pack: where it is and what to do."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


class PolicyError(CivicloomError):
    """A pack that cannot be used; `problems` holds every fault found and `str()` prints one per line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class UnknownCode(PolicyError):
    """A service, department, kind or area that the pack does not have."""

    def __init__(self, what: str, code: str, version: str) -> None:
        self.what, self.code, self.version = what, code, version
        super().__init__([Problem(version, None, f"there is no {what} {code!r} in this version of the pack")])


class CalendarRange(PolicyError):
    """A moment outside the years that the calendar was compiled for."""

    def __init__(self, moment: str, first: str, last: str) -> None:
        self.moment = moment
        super().__init__(
            [
                Problem(
                    "calendar.yaml", None, f"{moment} is outside {first}..{last}: add its year under `years`"
                )
            ]
        )
