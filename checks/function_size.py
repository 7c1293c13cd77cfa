"""No function is longer than 60 lines, and none nests more than 4 blocks.

`python -m checks.function_size`; the exceptions are in pyproject.toml, `[tool.civicloom.functions]`.
"""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from checks.files import REPO, tracked

MAX_LINES = 60
MAX_NESTING = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Measured(NamedTuple):
    """A function with its lines, from `def` to the last, and its deepest nesting of blocks."""

    name: str
    line: int
    lines: int
    nesting: int


def measure(source: str) -> Iterator[Measured]:
    """Every function of a module, nested ones and methods too, by qualified name."""
    yield from _functions(ast.parse(source), "")


def _functions(parent: ast.AST, prefix: str) -> Iterator[Measured]:
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, _SCOPES):
            yield from _functions(node, prefix)
            continue
        name = f"{prefix}{node.name}"
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Measured(name, node.lineno, lines, _nesting(node.body))
        yield from _functions(node, f"{name}.")


def _nesting(statements: Iterable[ast.AST]) -> int:
    """How many blocks lie around the innermost statement. A function inside counts by itself."""
    deepest = 0
    for node in statements:
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, ast.If):
            inside = 1 + _nesting(node.body)
            is_elif = len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)
            otherwise = _nesting(node.orelse) + (0 if is_elif or not node.orelse else 1)
            deepest = max(deepest, inside, otherwise)
        else:
            own = 1 if isinstance(node, _BLOCKS) else 0
            deepest = max(deepest, own + _nesting(ast.iter_child_nodes(node)))
    return deepest


def findings(root: Path, exceptions: Mapping[str, str]) -> Iterator[str]:
    """A line per function that is too long or too deep, and per exception that is not needed (any more).

    `exceptions` are reasons by `file::name`.
    """
    used = set()
    for file in tracked(root, "*.py"):
        for found in measure((root / file).read_text("utf-8")):
            wrong = []
            if found.lines > MAX_LINES:
                wrong.append(f"has {found.lines} lines, at most {MAX_LINES} are allowed")
            if found.nesting > MAX_NESTING:
                wrong.append(f"nests {found.nesting} blocks, at most {MAX_NESTING} are allowed")
            if not wrong:
                continue
            name = f"{file.as_posix()}::{found.name}"
            if exceptions.get(name, "").strip():
                used.add(name)
            else:
                yield f"{file.as_posix()}:{found.line}: {found.name} {' and '.join(wrong)}: split it"
    for name in sorted(exceptions.keys() - used):
        yield f"pyproject.toml:1: the exception for {name} has no reason or is not needed: remove it"


def main() -> int:
    settings = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    exceptions = settings["tool"]["civicloom"].get("functions", {})
    found = list(findings(REPO, exceptions))
    print("\n".join(found) if found else "no function is too long or too deep")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
