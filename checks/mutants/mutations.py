"""The mutants of a module: every single change that a test of its meaning should notice.

A mutant is named by its file, its function or class, and the statement before and after the change, so that
its name outlives changes elsewhere in the file. Left alone are types, decorators, docstrings, the text of
errors, and log lines.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_GENERIC = frozenset({"dict", "list", "tuple", "Callable", "Literal", "Mapping", "Sequence", "Iterable"})
_LOGGERS = frozenset({"log", "logger"})
_BODIES = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})
# Arguments that say what cannot happen, and those that only describe.
_OF_NO_EFFECT = frozenset({"strict", "description"})
_TYPES = frozenset({"annotation", "returns", "type_params", "bases", "decorator_list"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module. `name` is what it is called.

    `tree` changes the module's syntax tree, which all its mutants share, and returns it: call it once, in a
    process of its own.
    """

    name: str
    path: str
    tree: Callable[[], ast.Module]


@dataclass(frozen=True, slots=True)
class _Change:
    """Puts `new` into a field of a node, or into a place of a list there."""

    scope: str
    statement: ast.stmt
    holder: ast.AST
    field: str
    index: int | None
    new: Any

    def swap(self, value: Any) -> Any:
        """Puts a value there; what stood there before."""
        if self.index is None:
            old = getattr(self.holder, self.field)
            setattr(self.holder, self.field, value)
            return old
        place = getattr(self.holder, self.field)
        old, place[self.index] = place[self.index], value
        return old


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of the source. The second with the same name gets a number."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    found = []
    before_of: dict[int, str] = {}
    for change in _changes(tree):
        before = before_of.get(id(change.statement)) or _text(change.statement)
        before_of[id(change.statement)] = before
        old = change.swap(change.new)
        # A statement that is replaced as a whole is not in the tree any more: the new one says what it is.
        replaced = old is change.statement
        after = _text(change.new if replaced else change.statement)
        change.swap(old)
        if after == before:
            continue
        name = f"{path}::{change.scope}: `{before}` -> `{after}`"
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name} #{seen[name]}"
        found.append(Mutant(name, path, partial(_changed, tree, change)))
    return found


def _changed(tree: ast.Module, change: _Change) -> ast.Module:
    change.swap(change.new)
    return ast.fix_missing_locations(tree)


def _text(statement: ast.AST) -> str:
    """A statement in one line; of a compound one its head alone."""
    bare = copy.copy(statement)
    for field in _BODIES & set(bare._fields):
        setattr(bare, field, [ast.Expr(ast.Constant(...))] if field == "body" else [])
    if isinstance(bare, ast.Match | ast.Try):
        return type(bare).__name__.lower()
    return " ".join(ast.unparse(bare).split())


def _changes(tree: ast.Module) -> Iterator[_Change]:
    yield from _in_body(tree, "body", "module")


def _in_body(owner: ast.AST, field: str, scope: str) -> Iterator[_Change]:
    for index, statement in enumerate(getattr(owner, field)):
        if isinstance(statement, ast.ExceptHandler | ast.match_case):
            yield from _in_body(statement, "body", scope)
            continue
        if _is_left_alone(statement):
            continue
        if _can_be_left_out(statement):
            yield _Change(scope, statement, owner, field, index, ast.Pass())
        yield from _in_statement(statement, scope, owner, field, index)


def _in_statement(
    statement: ast.stmt, scope: str, owner: ast.AST, field: str, index: int
) -> Iterator[_Change]:
    match statement:
        case ast.Break():
            yield _Change(scope, statement, owner, field, index, ast.Continue())
        case ast.Continue():
            yield _Change(scope, statement, owner, field, index, ast.Break())
        case ast.Return(value=ast.expr()) if not _is_none(statement.value):
            yield _Change(scope, statement, statement, "value", None, ast.Constant(None))
        case ast.If() | ast.While() if not _is_negated_elsewhere(statement.test):
            yield _Change(scope, statement, statement, "test", None, ast.UnaryOp(ast.Not(), statement.test))
    inner = scope
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inner = statement.name if scope == "module" else f"{scope}.{statement.name}"
    for name in statement._fields:
        if name in _BODIES:
            yield from _in_body(statement, name, inner)
        elif name not in _TYPES and not isinstance(statement, ast.Raise | ast.Assert):
            yield from _in_field(inner, statement, statement, name)


def _in_field(scope: str, statement: ast.stmt, node: ast.AST, field: str) -> Iterator[_Change]:
    """Changes of what a field of a node holds, and of all below it."""
    value = getattr(node, field)
    places = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    for index, child in places:
        if not isinstance(child, ast.AST):
            continue
        for new in _replacements(child):
            # A statement that is nothing but a call is left out as a whole.
            if not (isinstance(statement, ast.Expr) and node is statement and not isinstance(new, ast.Call)):
                yield _Change(scope, statement, node, field, index, new)
        if isinstance(child, ast.JoinedStr | ast.arg) or _is_a_type(child):
            continue
        if isinstance(child, ast.keyword) and child.arg in _OF_NO_EFFECT:
            continue
        for name in child._fields:
            if name not in _TYPES:
                yield from _in_field(scope, statement, child, name)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What an expression could be instead."""
    match node:
        case ast.Constant():
            yield from _constants(node.value)
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                yield _with(node, "ops", index, COMPARISONS[type(operator)]())
        case ast.BoolOp():
            yield _copied(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
            for index in range(len(node.values)):
                rest = node.values[:index] + node.values[index + 1 :]
                yield rest[0] if len(rest) == 1 else _copied(node, values=rest)
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield _copied(node, op=OPERATORS[type(node.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.IfExp() if not _is_negated_elsewhere(node.test):
            yield _copied(node, test=ast.UnaryOp(ast.Not(), node.test))
        case _:
            yield from _with_less(node)


def _with_less(node: ast.AST) -> Iterator[ast.AST]:
    """An expression without one of its parts."""
    match node:
        case ast.comprehension():
            for index in range(len(node.ifs)):
                yield _copied(node, ifs=node.ifs[:index] + node.ifs[index + 1 :])
        case ast.Tuple() | ast.List() | ast.Set() if len(node.elts) > 1 and isinstance(
            getattr(node, "ctx", ast.Load()), ast.Load
        ):
            for index in range(len(node.elts)):
                yield _copied(node, elts=node.elts[:index] + node.elts[index + 1 :])
        case ast.Dict():
            for index in range(len(node.keys)):
                kept = [n for n in range(len(node.keys)) if n != index]
                yield _copied(node, keys=[node.keys[n] for n in kept], values=[node.values[n] for n in kept])
        case ast.Call():
            yield from _calls(node)


def _constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int() | float():
            yield ast.Constant(value + 1)
        case str() if value:
            yield ast.Constant(f"{value}zz")
        case bytes() if value:
            yield ast.Constant(value + b"zz")


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in TWINS:
        yield _copied(node, func=ast.Name(TWINS[node.func.id], ast.Load()))
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in _OF_NO_EFFECT:
            yield _copied(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])
    is_method = isinstance(node.func, ast.Attribute) and not _is_a_module_or_class(node.func.value)
    if is_method and isinstance(node.func, ast.Attribute):
        yield node.func.value


def _is_a_module_or_class(node: ast.expr) -> bool:
    """Whether a call of its attribute is none of a value's methods; by the look of the name."""
    return isinstance(node, ast.Name) and (node.id[0].isupper() or node.id in ("dt", "orjson", "cls", "re"))


def _is_negated_elsewhere(test: ast.expr) -> bool:
    """Whether another mutant is the negation of a condition."""
    return isinstance(test, ast.Compare) or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))


def _copied(node: Any, **changes: Any) -> Any:
    new = copy.copy(node)
    for field, value in changes.items():
        setattr(new, field, value)
    return new


def _with(node: Any, field: str, index: int, value: ast.AST) -> Any:
    values = list(getattr(node, field))
    values[index] = value
    return _copied(node, **{field: values})


def _is_a_type(node: ast.AST) -> bool:
    """Whether an expression is a type, such as `Callable[[int], str]`; what `Annotated` adds is none."""
    return isinstance(node, ast.Subscript) and (
        isinstance(node.value, ast.Name)
        and node.value.id
        in ("dict", "list", "tuple", "Callable", "Literal", "Mapping", "Sequence", "Iterable")
    )


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_left_alone(statement: ast.stmt) -> bool:
    """Imports, docstrings, declarations without a value, what is only for a type checker, and log lines."""
    match statement:
        case (
            ast.Import()
            | ast.ImportFrom()
            | ast.Assert()
            | ast.Pass()
            | ast.AnnAssign(value=None)
            | ast.Expr(value=ast.Constant())
            | ast.Assign(targets=[ast.Name(id="__all__")])
            | ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "get_logger")))
        ):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in _LOGGERS
    return False


def _can_be_left_out(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
    return False
