"""A policy pack: one immutable version of a jurisdiction's rules for its cases.

Pure code takes a `Pack` as a parameter and never looks up the current one. A version is named by the JSON
that is stored, not by what this release makes of it: an older or newer release, which knows fewer or more
members, reads the same version under the same name, and keeps what it does not know.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Self, TypeVar, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from shared.contracts.inquiry import CaseKind
from shared.policy.calendar import WorkCalendar
from shared.policy.calendar_table import CalendarTable
from shared.policy.errors import Fault, PolicyError, UnknownCode
from shared.policy.tables import (
    REQUIRED_CLOCKS,
    Area,
    CatalogueRow,
    Clock,
    ClockCode,
    Department,
    Head,
    Kind,
    Limits,
    Service,
)

VERSION_DIGITS = 12

_STORED: Any = object()
"""The context of a validation that reads what a release has stored, and not what an author has written."""
KNOWN_CODES = {"kinds": frozenset(get_args(CaseKind)), "clocks": frozenset(get_args(ClockCode))}
"""The rows that this release reads: no case of another kind comes here, and no other clock is started."""

T = TypeVar("T")


class Pack(Head):
    """The contents of `policies/<name>/`. Compiled views (`calendar`, look-ups) are built once per object.

    Attributes
    ----------
    version
        `<name>@` and `VERSION_DIGITS` hexadecimal digits of the SHA-256 of the stored JSON without this
        member, in canonical form. `of` computes it.
    """

    _stored: bytes = PrivateAttr(b"")

    version: str = ""
    kinds: tuple[Kind, ...] = Field(min_length=1)
    clocks: tuple[Clock, ...] = Field(min_length=1)
    limits: Limits
    calendar_table: CalendarTable
    services: tuple[Service, ...] = Field(min_length=1)
    departments: tuple[Department, ...] = Field(min_length=1)
    areas: tuple[Area, ...] = ()
    catalogue: tuple[CatalogueRow, ...] = ()

    @field_validator("kinds", "clocks", mode="before")
    @classmethod
    def _rows_of_a_later_release_are_not_read(cls, rows: Any, info: ValidationInfo) -> Any:
        known = KNOWN_CODES[info.field_name or ""]
        if info.context is not _STORED or not isinstance(rows, list):
            return rows
        return [row for row in rows if not isinstance(row, dict) or row.get("code") in known]

    @field_validator("clocks")
    @classmethod
    def _clocks_that_are_asked_for_exist(cls, clocks: tuple[Clock, ...]) -> tuple[Clock, ...]:
        missing = missing_clocks(clocks)
        if missing:
            raise ValueError(f"there is no clock {', '.join(missing)}")
        return clocks

    @classmethod
    def of(cls, contents: dict[str, Any]) -> Self:
        """A pack with these contents and their version.

        Raises pydantic.ValidationError, also for a member that is unknown here: an author has misspelt it.
        """
        draft = cls.model_validate(contents | {"version": ""})
        # Without defaults: a field that a later release adds must not change the names of old versions.
        stored = draft.model_dump(mode="json", exclude_defaults=True, exclude={"version"})
        stored["version"] = f"{draft.name}@{_digest(stored)}"
        pack = cls.model_validate(dict(draft) | {"version": stored["version"]})
        pack._stored = _canonical(stored)
        return pack

    def to_json(self) -> bytes:
        """The pack as stored: canonical JSON in UTF-8, with sorted keys, no spaces, without default values.

        It has every member that `from_json` was given.
        """
        return self._stored

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """The pack that `to_json` wrote, here or in another release; members unknown here are kept, not read.

        Raises PolicyError if the text is not a pack, or was changed.
        """
        try:
            stored = json.loads(text)
            pack = cls.model_validate(stored, extra="ignore", context=_STORED)
        except ValueError as error:  # a ValidationError is one, and so is what is no JSON
            raise PolicyError([Fault("stored pack", None, str(error))]) from error
        if pack.version != f"{pack.name}@{_digest(stored)}":
            fault = Fault(
                pack.version, None, "the contents are not those that the version names: load the pack again"
            )
            raise PolicyError([fault])
        pack._stored = _canonical(stored)
        return pack

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        # A pickle has the contents and not the compiled views, which are larger and built in milliseconds.
        return type(self).from_json, (self.to_json(),)

    @cached_property
    def calendar(self) -> WorkCalendar:
        """The compiled calendar; the first use takes some tens of milliseconds."""
        return WorkCalendar(self.calendar_table, self.timezone)

    @cached_property
    def services_by_code(self) -> dict[str, Service]:
        return {service.service_code: service for service in self.services}

    @cached_property
    def departments_by_code(self) -> dict[str, Department]:
        return {department.code: department for department in self.departments}

    @cached_property
    def kinds_by_code(self) -> dict[str, Kind]:
        return {kind.code: kind for kind in self.kinds}

    @cached_property
    def clocks_by_code(self) -> dict[str, Clock]:
        return {clock.code: clock for clock in self.clocks}

    @cached_property
    def areas_by_code(self) -> dict[str, Area]:
        return {area.code: area for area in self.areas}

    def service(self, code: str) -> Service:
        """The service of that code. Raises UnknownCode, like the other look-ups here."""
        return self._find("service", self.services_by_code, code)

    def department(self, code: str) -> Department:
        """The department of that code."""
        return self._find("department", self.departments_by_code, code)

    def unit_name(self, code: str, language: str) -> str:
        """The name of a department in a language; its code if this version does not have it."""
        department = self.departments_by_code.get(code)
        return department.in_language(language) if department is not None else code

    def kind(self, code: str) -> Kind:
        """The kind of case of that code."""
        return self._find("kind", self.kinds_by_code, code)

    def clock(self, code: str) -> Clock:
        """The clock of that code."""
        return self._find("clock", self.clocks_by_code, code)

    def area(self, code: str) -> Area:
        """The area of that code."""
        return self._find("area", self.areas_by_code, code)

    def _find(self, what: str, table: dict[str, T], code: str) -> T:
        try:
            return table[code]
        except KeyError:
            raise UnknownCode(what, code, self.version) from None


def missing_clocks(clocks: Iterable[Clock]) -> list[str]:
    """The codes of the required clocks that are not among these."""
    there = {clock.code for clock in clocks}
    return [code for code in REQUIRED_CLOCKS if code not in there]


def _digest(stored: dict[str, Any]) -> str:
    contents = {name: value for name, value in stored.items() if name != "version"}
    return hashlib.sha256(_canonical(contents)).hexdigest()[:VERSION_DIGITS]


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
