"""`python -m checks.mutants --count 600 --seed 1`: draws mutants by seed and says which survive.

A run can be stopped at any time, or by `--seconds`; the next one continues. The exit code is 1 if too many
survive, if one survives in a strict part without a reason in accepted.yaml, or if an entry there is stale;
3 if seconds were over before all were judged.
"""

import argparse
import ast
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TextIO

import grimp

from checks.files import REPO
from checks.mutants.judge import OURS, Baseline, JudgeFails, baseline, module_of, survives
from checks.mutants.memory import Found, accepted, state_of
from checks.mutants.mutations import Mutant, mutants
from checks.mutants.parts import PARTS, Part

# What every run of pytest imports, whatever it tests.
_TOOLS = ("pytest", "pytest_asyncio", "pytest_timeout", "anyio.pytest_plugin", "asyncpg", "hypothesis")
MAY_SURVIVE = 0.10
"""The share of the mutants drawn that may survive, those with a reason included."""


@dataclass
class Drawn:
    """The mutants of a run, by part and file."""

    by_file: dict[tuple[Part, str], list[Mutant]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """All that there are, drawn or not."""

    @property
    def count(self) -> int:
        return sum(map(len, self.by_file.values()))


def main() -> int:
    arguments = _arguments()
    print(f"mutants: seed {arguments.seed}, count {arguments.count}", flush=True)
    drawn = draw(arguments.seed, arguments.count, arguments.only)
    reasons = accepted()
    stale = sorted(set(reasons) - drawn.names)
    for name in stale:
        print(f"accepted.yaml: there is no such mutant any longer, remove it: {name}")
    end = time.monotonic() + arguments.seconds
    verdicts: dict[str, bool] = {}
    try:
        for part, name, survived in judged(drawn, Found(fresh=arguments.fresh), end):
            verdicts[name] = survived
            if survived and name not in reasons:
                print(f"survived ({part.name}): {name}", flush=True)
            elif not survived and name in reasons:
                print(f"accepted.yaml: a test notices it now, remove it: {name}", flush=True)
                stale.append(name)
    except JudgeFails as failure:
        print(f"mutants: {failure}", file=sys.stderr)
        return 1
    strict = {mutant.name for (part, _), ones in drawn.by_file.items() if part.strict for mutant in ones}
    return outcome(drawn.count, verdicts, reasons, strict, stale)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m checks.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=600, help="how many mutants to draw")
    parser.add_argument("--seed", default="1", help="which ones: any text")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    return parser.parse_args()


def draw(seed: str, count: int, only: str = "") -> Drawn:
    """The first `count` mutants in an order that the seed gives.

    The order does not depend on which other mutants there are: a change of one file leaves the draw from all
    others nearly as it is.
    """
    drawn = Drawn()
    pool: list[tuple[bytes, Part, Mutant]] = []
    for part in PARTS:
        for path in part.files():
            for mutant in mutants(path, (REPO / path).read_text()):
                drawn.names.add(mutant.name)
                if only in mutant.name:
                    pool.append((_rank(seed, mutant.name), part, mutant))
    for _, part, mutant in sorted(pool, key=lambda one: one[0])[:count]:
        drawn.by_file.setdefault((part, mutant.path), []).append(mutant)
    return drawn


def _rank(seed: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()


def judged(drawn: Drawn, found: Found, end: float) -> Iterator[tuple[Part, str, bool]]:
    """Judges the drawn mutants until the monotonic moment `end`: part, name, and whether it survived."""
    graph = grimp.build_graph(*OURS)
    baselines: dict[str, Baseline] = {}
    for (part, path), ones in drawn.by_file.items():
        state = state_of([path]), state_of(part.tests)
        fresh = []
        for mutant in ones:
            known = found.verdict(mutant.name, *state)
            if known is None:
                fresh.append(mutant)
            else:
                yield part, mutant.name, known
        if not fresh or time.monotonic() > end:
            continue
        if part.name not in baselines:
            baselines[part.name] = baseline(part.tests)
        known_part = baselines[part.name]
        if module_of(path) not in known_part.modules:
            raise JudgeFails(f"no test of {part.name} imports {path}: see checks/mutants/parts.py")
        dependent = {module_of(path), *graph.find_downstream_modules(module_of(path))}
        warm = [name for name in known_part.modules if name not in dependent]
        for name, survived in _in_a_warm_process(fresh, part.tests, known_part, warm, end):
            found.keep(name, *state, survived=survived)
            yield part, name, survived


def _in_a_warm_process(
    ones: Sequence[Mutant], tests: tuple[str, ...], known: Baseline, warm: Iterable[str], end: float
) -> Iterator[tuple[str, bool]]:
    """Verdicts from a process that has imported what does not depend on the file, once for its mutants."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w", buffering=1) as pipe:
                for name in (*_TOOLS, *warm):
                    import_module(name)
                _judge_all(ones, tests, known, end, pipe)
            code = 0
        except JudgeFails as failure:
            print(f"mutants: {failure}", file=sys.stderr)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        for line in pipe:
            yield line[1:].rstrip("\n"), line[0] == "1"
    _, status = os.waitpid(child, 0)
    if status:
        raise JudgeFails(f"the process with these tests ended with {status}: {' '.join(tests)}")


def _judge_all(
    ones: Sequence[Mutant], tests: tuple[str, ...], known: Baseline, end: float, pipe: TextIO
) -> None:
    path = ones[0].path
    unchanged = Mutant(f"{path} as it is", path, lambda: ast.parse((REPO / path).read_text()))
    if not survives(unchanged, tests, known):
        raise JudgeFails(f"the tests of {path} fail here without any change")
    for mutant in ones:
        if time.monotonic() > end:
            break
        pipe.write(f"{int(survives(mutant, tests, known))}{mutant.name}\n")


def outcome(
    count: int, verdicts: dict[str, bool], reasons: dict[str, str], strict: set[str], stale: list[str]
) -> int:
    """Prints what a run found; its exit code."""
    alive = {name for name, survived in verdicts.items() if survived}
    unexplained = (alive & strict) - reasons.keys()
    share = len(alive) / max(len(verdicts), 1)
    print(
        f"mutants: {len(verdicts)} of {count} judged, {len(alive)} survived ({share:.1%}), of these "
        f"{len(alive & reasons.keys())} with a reason; {len(unexplained)} in strict parts without one"
    )
    if unexplained or stale or share >= MAY_SURVIVE:
        return 1
    return 0 if len(verdicts) == count else 3


if __name__ == "__main__":
    sys.exit(main())
