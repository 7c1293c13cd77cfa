"""Finds changes of the contract that break its readers or writers.

Readers and writers of different releases run at the same time, and the log keeps events of all releases. So
an older reader must accept a newer writer's events (nothing widened, no required field made optional), and a
newer reader an older writer's (nothing narrowed, removed or newly required). What remains is adding an
optional field or a type. Every other change needs a new version of the type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# Keywords without a meaning for readers. Not `default`: it is the meaning of an absent field.
_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "examples"})
_ABSENT = object()


def incompatible_changes(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """The changes in `new` that break a promise of `old`, one line each.

    Both map a file's name to its JSON Schema, of the subset that `shared.contracts.schemas` writes.
    """
    problems = []
    for name, schema in sorted(old.items()):
        if name not in new:
            problems.append(f"{name}: was removed; readers of the log still need it")
            continue
        problems += [f"{name}: {problem}" for problem in _Comparison(schema, new[name]).problems()]
    return problems


class _Comparison:
    """Compares two versions of a schema. Follows references, since renaming a definition changes nothing."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new

    def problems(self) -> Iterator[str]:
        yield from self._schemas("", self._old, self._new)

    def _schemas(self, path: str, old: Any, new: Any) -> Iterator[str]:
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            if old != new:
                yield f"{_at(path)} was {old!r} and is {new!r}"
            return
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        for keyword in sorted((old.keys() | new.keys()) - _ANNOTATIONS):
            before, after = old.get(keyword, _ABSENT), new.get(keyword, _ABSENT)
            match keyword:
                case "properties":
                    yield from self._properties(path, old.get(keyword, {}), new.get(keyword, {}))
                case "required":
                    yield from _required(path, old, new)
                case "enum":
                    yield from _enum(path, before, after)
                case "anyOf" | "oneOf" | "allOf" | "prefixItems":
                    yield from self._alternatives(path, keyword, before, after)
                case "items" | "additionalProperties" | "propertyNames" if _ABSENT not in (before, after):
                    yield from self._schemas(f"{path}[{keyword}]", before, after)
                case _:
                    yield from _constraint(path, keyword, before, after)

    def _properties(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        for name, schema in old.items():
            inner = f"{path}.{name}" if path else name
            if name in new:
                yield from self._schemas(inner, schema, new[name])
            else:
                yield f"{inner} was removed or renamed"

    def _alternatives(self, path: str, keyword: str, old: Any, new: Any) -> Iterator[str]:
        if old is _ABSENT or new is _ABSENT or len(old) != len(new):
            yield f"{_at(path)} takes other types: {keyword} changed"
            return
        for before, after in zip(old, new, strict=True):
            yield from self._schemas(path, before, after)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference resolved; keywords beside the reference are kept."""
    while "$ref" in schema:
        definition: Schema = root["$defs"][str(schema["$ref"]).removeprefix("#/$defs/")]
        schema = {**definition, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _required(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    prefix = f"{path}." if path else ""
    for name in sorted(after - before):
        yield f"{prefix}{name} is newly required; older events do not have it"
    for name in sorted((before - after) & new.get("properties", {}).keys()):
        yield f"{prefix}{name} is no longer required; older readers refuse an event without it"


def _enum(path: str, old: Any, new: Any) -> Iterator[str]:
    if old is _ABSENT or new is _ABSENT:
        yield f"{_at(path)} {'became' if old is _ABSENT else 'is no longer'} a list of values"
        return
    for value in old:
        if value not in new:
            yield f"{_at(path)} lost the value {value!r}; older events have it"
    for value in new:
        if value not in old:
            yield f"{_at(path)} got the value {value!r}; older readers refuse it"


def _constraint(path: str, keyword: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if old is _ABSENT:
        yield f"{_at(path)} was narrowed: {keyword} is now {new!r}"
    elif new is _ABSENT:
        yield f"{_at(path)} was widened: {keyword} was {old!r}"
    else:
        yield f"{_at(path)} changed: {keyword} was {old!r} and is {new!r}"


def _at(path: str) -> str:
    return path or "the event"
