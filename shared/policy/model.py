"""A policy pack: one immutable version of a jurisdiction's rules for its cases.

Pure code takes a `Pack` as a parameter and never looks up the current one. A version is named by its
contents, so that `from_json()` restores exactly what `to_json()` stored, or raises.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, field_validator

from shared.policy.calendar import WorkCalendar
from shared.policy.calendar_table import CalendarTable
from shared.policy.errors import Fault, PolicyError, UnknownCode
from shared.policy.tables import (
    REQUIRED_CLOCKS,
    Area,
    CatalogueRow,
    Clock,
    Department,
    Head,
    Kind,
    Limits,
    Service,
)

VERSION_DIGITS = 12

T = TypeVar("T")


class Pack(Head):
    """The contents of `policies/<name>/`. Compiled views (`calendar`, look-ups) are built once per object.

    Attributes
    ----------
    version
        `<name>@` and `VERSION_DIGITS` hexadecimal digits of the SHA-256 of the contents. `of` computes it.
    """

    version: str = ""
    kinds: tuple[Kind, ...] = Field(min_length=1)
    clocks: tuple[Clock, ...] = Field(min_length=1)
    limits: Limits
    calendar_table: CalendarTable
    services: tuple[Service, ...] = Field(min_length=1)
    departments: tuple[Department, ...] = Field(min_length=1)
    areas: tuple[Area, ...] = ()
    catalogue: tuple[CatalogueRow, ...] = ()

    @field_validator("clocks")
    @classmethod
    def _clocks_that_are_asked_for_exist(cls, clocks: tuple[Clock, ...]) -> tuple[Clock, ...]:
        missing = missing_clocks(clocks)
        if missing:
            raise ValueError(f"there is no clock {', '.join(missing)}")
        return clocks

    @classmethod
    def of(cls, contents: dict[str, Any]) -> Self:
        """A pack with these contents and their version. Raises pydantic.ValidationError."""
        draft = cls.model_validate(contents | {"version": ""})
        return cls.model_validate(dict(draft) | {"version": f"{draft.name}@{draft._digest()}"})

    def to_json(self) -> bytes:
        """The pack as canonical JSON in UTF-8: sorted keys, no spaces, without default values."""
        return _canonical(self.model_dump(mode="json", exclude_defaults=True))

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """The pack that `to_json` wrote. Raises PolicyError if the text is not one, or was changed."""
        try:
            pack = cls.model_validate_json(text)
        except ValidationError as error:
            raise PolicyError([Fault("stored pack", None, str(error))]) from error
        if pack.version != f"{pack.name}@{pack._digest()}":
            fault = Fault(
                pack.version, None, "the contents are not those that the version names: load the pack again"
            )
            raise PolicyError([fault])
        return pack

    def _digest(self) -> str:
        # Without defaults: a field that a later release adds must not change the names of old versions.
        contents = self.model_dump(mode="json", exclude_defaults=True, exclude={"version"})
        return hashlib.sha256(_canonical(contents)).hexdigest()[:VERSION_DIGITS]

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


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
