"""What earlier runs found, so that a run that was stopped continues; and the mutants that may survive."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from checks.files import REPO

FOUND = REPO / ".cache" / "mutants.jsonl"
ACCEPTED = REPO / "checks" / "mutants" / "accepted.yaml"


class Found:
    """Verdicts by the mutant's name, of this source.

    That it survived counts while the tests of its part stay the same. That it was noticed counts whatever is
    added to the tests; `fresh` forgets that too, for after a test has been removed.
    """

    def __init__(self, file: Path = FOUND, *, fresh: bool = False) -> None:
        self._file = file
        self._noticed: set[tuple[str, str]] = set()
        self._survived: set[tuple[str, str, str]] = set()
        if fresh:
            file.unlink(missing_ok=True)
        for line in file.read_text().splitlines() if file.exists() else ():
            self._add(**json.loads(line))

    def verdict(self, mutant: str, source: str, tests: str) -> bool | None:
        """Whether it survived; None if that is not known."""
        if (mutant, source) in self._noticed:
            return False
        return True if (mutant, source, tests) in self._survived else None

    def keep(self, mutant: str, source: str, tests: str, *, survived: bool) -> None:
        """Remembers a verdict, at once: the next moment the run may be stopped."""
        row = {"mutant": mutant, "source": source, "tests": tests, "survived": survived}
        self._file.parent.mkdir(exist_ok=True)
        with self._file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        self._add(mutant, source, tests, survived)

    def _add(self, mutant: str, source: str, tests: str, survived: bool) -> None:
        if survived:
            self._survived.add((mutant, source, tests))
        else:
            self._noticed.add((mutant, source))


def state_of(paths: Iterable[str], root: Path = REPO) -> str:
    """What these files hold, as a short hash."""
    total = hashlib.sha256()
    for path in paths:
        total.update((root / path).read_bytes() + b"\0")
    return total.hexdigest()[:16]


def accepted(file: Path = ACCEPTED) -> dict[str, str]:
    """The mutants that may survive, each with the reason. Raises ValueError for one without a reason."""
    reasons: dict[str, str] = {}
    for reason, names in (yaml.safe_load(file.read_text()) or {}).items():
        if len(str(reason).split()) < 3:
            raise ValueError(f"{file.name}: {reason!r} is no reason: say why no test can notice it")
        reasons |= dict.fromkeys(names, reason)
    return reasons
