"""API keys of machines: named keys with scopes, kept as hashes in a file of the operator."""

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class Machine:
    """A program with an API key; with `unit` (the code of a unit) it may act for that unit only.

    `not_after` (machine time) is when the key ends; None for one that does not.
    """

    name: str
    scopes: frozenset[str]
    unit: str | None
    not_after: dt.datetime | None = None

    @property
    def actor(self) -> str:
        """How events name the program."""
        return f"machine:{self.name}"


class _KeyRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: list[Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,64}$")]]
    unit: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = None
    not_after: AwareDatetime | None = None


_RECORDS = TypeAdapter(list[_KeyRecord])


class ApiKeys:
    """The keys of API_KEYS_FILE, read at the start: a list of `{name, sha256, scopes, unit?, not_after?}`.

    `not_after` is a moment with its offset, such as 2027-06-30T18:00:00+08:00. Without a scope a key opens
    nothing.

    A key has at least 32 random bytes (`openssl rand -hex 32`), so its plain SHA-256 is safe to store.

    Parameters
    ----------
    machines
        By the SHA-256 of their keys in hexadecimal digits.
    """

    def __init__(self, machines: dict[str, Machine]) -> None:
        self._machines = machines

    @classmethod
    def load(cls, path: Path | None) -> "ApiKeys":
        """The keys in a file; none without a file.

        Raises pydantic.ValidationError, or ValueError for a name or a key that occurs twice.
        """
        if path is None:
            return cls({})
        records = _RECORDS.validate_python(yaml.safe_load(path.read_text("utf-8")) or [])
        machines = {
            record.sha256: Machine(record.name, frozenset(record.scopes), record.unit, record.not_after)
            for record in records
        }
        if len(machines) != len(records) or len({record.name for record in records}) != len(records):
            raise ValueError(f"{path}: every name and every key may occur only once")
        return cls(machines)

    def machine(self, key: str) -> Machine | None:
        """The machine that a key belongs to. The look-up is by hash, so its timing reveals nothing."""
        return self._machines.get(hashlib.sha256(key.encode("utf-8", "replace")).hexdigest())
