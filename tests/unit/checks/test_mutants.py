"""Mutants: the changes that are made, names that outlive edits elsewhere, what a run makes of verdicts."""

import ast
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.mutants import __main__ as run
from checks.mutants.judge import _fork, _wait
from checks.mutants.memory import Found, accepted
from checks.mutants.mutations import mutants
from checks.mutants.parts import PARTS
from tests.paths import REPO

SOURCE = '''
"""A docstring is left alone."""
KINDS = {"a": 1, "b": 2}

class Case:
    limit: int = 3

    @property
    def late(self) -> bool:
        return self.at > self.due or self.breached

def again(case, at, zone):
    if not case.open:
        raise ValueError("the text of an error")
    log.info("a log line")
    day = at.astimezone(zone).date()
    return replace(case, breached=False, cancelled=("mark", "due"), day=min(day, case.day))
'''


def changes(source: str = SOURCE) -> set[str]:
    return {mutant.name.split(": ", 1)[1].split("` -> `")[1][:-1] for mutant in mutants("m.py", source)}


@pytest.mark.parametrize(
    "changed",
    [
        "KINDS = {'b': 2}",  # a row of a table
        "KINDS = {'a': 2, 'b': 2}",
        "limit: int = 4",
        "return self.at >= self.due or self.breached",
        "return self.at > self.due",  # an operand
        "return self.at > self.due and self.breached",
        "if case.open: ...",
        "day = at.date()",  # a call of a chain
        "return replace(case, cancelled=('mark', 'due'), day=min(day, case.day))",  # an argument
        "return replace(case, breached=True, cancelled=('mark', 'due'), day=min(day, case.day))",
        "return replace(case, breached=False, cancelled=('mark',), day=min(day, case.day))",
        "return replace(case, breached=False, cancelled=('mark', 'due'), day=max(day, case.day))",
        "return None",
        "pass",  # the refusal
    ],
)
def test_a_change_that_a_test_should_notice_is_made(changed: str) -> None:
    assert changed in changes()


def test_docstrings_types_log_lines_and_the_text_of_errors_are_left_alone() -> None:
    assert not any("docstring" in change or "error" in change for change in changes())
    assert not any("log" in change for change in changes())
    assert (
        changes("def f(x: dict[str, int] | None) -> tuple[int, int]: ...\nX = Callable[[int, str], int]\n")
        == set()
    )


def test_a_mutant_is_the_module_with_this_change_alone() -> None:
    (mutant,) = [one for one in mutants("m.py", SOURCE) if "`limit: int = 3` -> " in one.name]
    before, after = ast.unparse(ast.parse(SOURCE)).splitlines(), ast.unparse(mutant.tree()).splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        ("    limit: int = 3", "    limit: int = 4")
    ]


def test_names_are_unique_and_outlive_changes_elsewhere() -> None:
    names = [mutant.name for mutant in mutants("m.py", SOURCE)]
    assert len(set(names)) == len(names)
    moved = "import x\n\n\ndef other():\n    return 1\n" + SOURCE
    assert set(names) < {mutant.name for mutant in mutants("m.py", moved)}


def test_the_draw_depends_on_the_seed_alone() -> None:
    def drawn(seed: str) -> set[str]:
        return {
            mutant.name
            for ones in run.draw(seed, 5, "shared/inbox/rounds.py").by_file.values()
            for mutant in ones
        }

    first = drawn("1")
    assert first == drawn("1") != drawn("2")
    assert len(first) == 5


def test_every_source_and_every_test_of_a_part_exists() -> None:
    root = REPO
    for part in PARTS:
        assert list(part.files())
        assert [test for test in part.tests if not (root / test).exists()] == []


def test_a_verdict_counts_for_its_source_and_a_survivor_for_its_tests_too(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "found.jsonl"
    found = Found(file)
    found.keep("noticed", "source", "tests", survived=False)
    found.keep("survived", "source", "tests", survived=True)
    again = Found(file)
    assert [again.verdict(name, "source", "tests") for name in ("noticed", "survived", "x")] == [
        False,
        True,
        None,
    ]
    assert [again.verdict(name, "source", "more") for name in ("noticed", "survived")] == [False, None]
    assert [again.verdict(name, "other", "tests") for name in ("noticed", "survived")] == [None, None]
    assert Found(file, fresh=True).verdict("noticed", "source", "tests") is None


def test_every_accepted_mutant_exists_and_has_a_reason(tmp_path: Path) -> None:
    assert set(accepted()) <= run.draw("1", 0).names
    file = tmp_path / "accepted.yaml"
    file.write_text("equivalent:\n  - 'm.py::f: `a` -> `b`'\n")
    with pytest.raises(ValueError, match="'equivalent' is no reason"):
        accepted(file)


@pytest.mark.parametrize(
    ("survivors", "strict", "reasons", "stale", "code"),
    [
        (0, 0, 0, 0, 0),
        (9, 0, 0, 0, 0),
        (10, 0, 0, 0, 1),  # ten of a hundred are too many
        (1, 1, 0, 0, 1),  # none in a strict part
        (1, 1, 1, 0, 0),  # but with a reason
        (0, 0, 0, 1, 1),  # an entry that says nothing any longer
    ],
)
def test_a_run_fails_as_its_rules_say(
    survivors: int, strict: int, reasons: int, stale: int, code: int
) -> None:
    verdicts = {f"m{n}": n < survivors for n in range(100)}
    names = [f"m{n}" for n in range(100)]
    outcome = run.outcome(
        100, verdicts, dict.fromkeys(names[:reasons], "why"), set(names[:strict]), names[:stale]
    )
    assert outcome == code
    unfinished = run.outcome(101, verdicts, dict.fromkeys(names[:reasons], "why"), set(names[:strict]), [])
    assert unfinished == (code if code and not stale else 3)


def hangs() -> int:
    time.sleep(60)
    return 0


def works() -> int:
    end = time.process_time() + 1
    while time.process_time() < end:
        pass
    return 0


@pytest.mark.parametrize(("run_of_tests", "code"), [(hangs, -signal.SIGKILL), (works, 0)])
def test_a_run_that_hangs_is_ended_and_one_that_works_is_not(
    run_of_tests: Callable[[], int], code: int
) -> None:
    """However long it takes: on a busy machine one that is only late would count as one that noticed."""
    assert _wait(_fork(run_of_tests), 0.5) == code


_JUDGE = """
import sys
from pathlib import Path
import checks.mutants.__main__ as run
from checks.mutants.memory import Found
drawn = run.draw("1", 1, sys.argv[1])
((part, _, survived),) = run.judged(drawn, Found(Path(sys.argv[2])), float("inf"))
print(part.name, survived)
"""


def test_a_broken_rule_is_noticed_by_the_tests_of_its_part(tmp_path: Path) -> None:
    """The judge itself; before each file's mutants it has to pass the file as it is.

    In a process of its own: it forks, and a worker that has run other tests is no clean parent.
    """
    line = "tx.mark_processed(event.subject, event.event.source, ordinal)"
    name = f"rounds.py::_finish: `{line}` -> `pass`"
    done = subprocess.run(
        [sys.executable, "-c", _JUDGE, name, str(tmp_path / "found.jsonl")],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["rounds", "False"], done.stderr
