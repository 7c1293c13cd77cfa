"""Machines that call the APIs: named keys with scopes, kept as hashes in a file of the operator."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class Machine:
    """A program with an API key. With `unit` it may act for that department alone."""

    name: str
    scopes: frozenset[str]
    unit: str | None

    @property
    def actor(self) -> str:
        """How events name the program."""
        return f"machine:{self.name}"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: list[Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,64}$")]]
    unit: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = None


_ENTRIES = TypeAdapter(list[_Entry])


class ApiKeys:
    """The keys of API_KEYS_FILE: a YAML list of `{name, sha256, scopes: [...], unit?}`, read at the start.

    A key is at least 32 random bytes (`openssl rand -hex 32`), so a plain SHA-256 of it is safe to keep.
    """

    def __init__(self, machines: dict[str, Machine]) -> None:
        self._machines = machines

    @classmethod
    def load(cls, path: Path | None) -> "ApiKeys":
        """No file, no keys. Raises pydantic.ValidationError, or ValueError for what stands twice."""
        if path is None:
            return cls({})
        entries = _ENTRIES.validate_python(yaml.safe_load(path.read_text("utf-8")) or [])
        machines = {
            entry.sha256: Machine(entry.name, frozenset(entry.scopes), entry.unit) for entry in entries
        }
        if len(machines) != len(entries) or len({entry.name for entry in entries}) != len(entries):
            raise ValueError(f"{path}: every name and every key may stand once")
        return cls(machines)

    def machine(self, key: str) -> Machine | None:
        """Whose key it is. Looked up by its hash, so time tells nothing about the keys."""
        return self._machines.get(hashlib.sha256(key.encode("utf-8", "replace")).hexdigest())
