"""The tables of a pack as frozen, validated rows; those of calendar.yaml are in `calendar_table`.

Every row with a number names its `source`. A field that a later release adds must be optional: a pack's
version is computed without default values and so stays the same (`model.Pack`).
"""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from shared.contracts.inquiry import CaseKind

Code = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=64)]
Source = Annotated[str, Field(min_length=3)]
Percent = Annotated[int, Field(gt=0, le=100)]
# Finite, and small enough that a date plus the amount is still a date.
Amount = Annotated[int | float, Field(gt=0, le=10_000)]

ClockCode = Literal[
    "triage", "supplement", "sign", "contact", "return", "decide", "check", "ask-review", "review"
]
"""The clocks of the procedure. Other codes are refused: no service would start such a clock."""
REQUIRED_CLOCKS: tuple[ClockCode, ...] = ("sign",)
"""The clocks without which no case can be dispatched."""


class DayCount(StrEnum):
    """The unit of a budget and how it runs; `deadlines` has the rules.

    `hours_24x7`: hours day and night. `hours_duty`: hours of duty time. `working_days`: to the end of duty on
    a working day. `calendar_days`: to the end of a day. `calendar_roll`: the same, but a last day that is not
    a working day moves to the next working day. `months`: to the end of the same day of a later month.
    """

    HOURS_24X7 = "hours_24x7"
    HOURS_DUTY = "hours_duty"
    WORKING_DAYS = "working_days"
    CALENDAR_DAYS = "calendar_days"
    CALENDAR_ROLL = "calendar_roll"
    MONTHS = "months"

    @property
    def hourly(self) -> bool:
        """Whether the amount is hours, which may be fractional, and not whole days or months."""
        return self in (DayCount.HOURS_24X7, DayCount.HOURS_DUTY)


class Row(BaseModel):
    """A frozen row; an unknown field is an error, because it is nearly always a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Title(Row):
    """A name in Chinese and in English, and in the jurisdiction's own language if that is neither."""

    zh: str
    en: str
    local: str | None = None


class Head(Row):
    """pack.yaml: the jurisdiction of the pack, and what each source named in a row is.

    `timezone` is an IANA name, `language` a code such as `nl` or `en-US`.
    """

    name: Code
    title: Title
    jurisdiction: Code
    timezone: str
    language: str = Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")
    sources: dict[str, str] = Field(min_length=1)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f'{name!r} is not an IANA time zone: write it like "Asia/Shanghai"') from error
        return name


class Budget(Row):
    """An amount of time: hours (may be fractional), or whole days or months, by `day_count`."""

    amount: Amount
    day_count: DayCount
    source: Source

    @model_validator(mode="after")
    def _whole_days_are_whole(self) -> Self:
        _check_whole(self.amount, self.day_count)
        return self


def _check_whole(amount: int | float, day_count: DayCount) -> None:
    if not day_count.hourly and not isinstance(amount, int):
        raise ValueError(f"{amount} {day_count}: days and months are whole numbers; use hours instead")


def _reply_is_whole(budget: Budget) -> Budget:
    _check_whole_reply(budget.amount, budget.day_count)
    return budget


def _check_whole_reply(amount: int | float, day_count: DayCount) -> None:
    if amount != int(amount):
        raise ValueError(f"{amount} {day_count}: a reply's budget is in whole hours: round it")


ReplyBudget = Annotated[Budget, AfterValidator(_reply_is_whole)]
"""The budget of a reply: a whole number even in hours, because events carry it as an integer."""


class Rework(Row):
    """The budget and the limit of reworks (重办) of a case whose reply did not solve it."""

    share: float = Field(gt=0, le=1, description="part of the first budget that the lead gets again")
    maximum: int = Field(ge=0, description="reworks after which the case is a hard case")
    minimum: ReplyBudget | None = Field(
        default=None, description="least budget of a rework, at most the whole first budget"
    )
    source: Source


class Warn(Row):
    """The used parts of the reply budget, in percent, at which the lead is warned (预警)."""

    percents: tuple[Percent, ...]
    source: Source


class Kind(Row):
    """A kind of case: 咨询 consult, 求助 help, 投诉 complaint, 举报 report, 建议 suggestion."""

    code: CaseKind
    title: Title
    acceptance: Literal["rule", "clerk"]
    reply: ReplyBudget
    urgent_reply: ReplyBudget
    warn: Warn
    evaluation: Budget
    reopen: Budget
    rework: Rework


class Clock(Row):
    """A clock of the procedure, such as sign (签收); `urgent` is the budget of urgent cases if it differs."""

    code: ClockCode
    title: Title
    normal: Budget
    urgent: Budget | None = None


class Limits(Row):
    """How often a unit may return a case (退回), and how often all units together."""

    returns_per_unit: int = Field(ge=0)
    returns_per_case: int = Field(ge=0)
    source: Source


class Named(Row):
    """A row with a name in the jurisdiction's own language, and an English one if that is not English."""

    name: str = Field(min_length=1)
    name_en: str | None = None

    def in_language(self, language: str) -> str:
        """The name in a language."""
        return self.name_en if language == "en" and self.name_en else self.name


class Service(Named):
    """A row of services.csv: what a citizen can ask for (a service of GeoReport v2)."""

    service_code: Code
    group: str = Field(min_length=1)
    group_en: str | None = None
    kind: Code
    description: str = ""
    keywords: tuple[str, ...] = ()
    due_amount: Amount | None = None
    due_day_count: DayCount | None = None
    active: bool = True
    source: Source

    @model_validator(mode="after")
    def _an_own_deadline_is_complete(self) -> Self:
        if (self.due_amount is None) != (self.due_day_count is None):
            raise ValueError("due_amount and due_day_count go together: fill both or neither")
        if self.due_amount is not None and self.due_day_count is not None:
            _check_whole(self.due_amount, self.due_day_count)
            _check_whole_reply(self.due_amount, self.due_day_count)
        return self

    def group_in(self, language: str) -> str:
        """The name of its group in a language."""
        return self.group_en if language == "en" and self.group_en else self.group

    @property
    def due(self) -> Budget | None:
        """The service's own reply budget, if it differs from that of its kind."""
        if self.due_amount is None or self.due_day_count is None:
            return None
        return Budget(amount=self.due_amount, day_count=self.due_day_count, source=self.source)


class Department(Named):
    """A row of departments.csv: a unit (承办单位) that can hold a case."""

    code: Code
    kind: str = Field(min_length=1)
    kafka: bool
    source: Source


class Area(Named):
    """A row of areas.csv: a part of the city by which the catalogue may choose the lead."""

    code: Code
    source: Source


class CatalogueRow(Row):
    """A row of catalogue.csv, the dispatch catalogue (派单目录): lead and co-handlers of a service.

    It is in force from `valid_from` to `valid_to`, both inclusive; `area` `*` is anywhere.
    """

    rule_id: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$", max_length=64)]
    service_code: Code
    area: Annotated[str, Field(pattern=r"^(\*|[a-z0-9-]+)$")] = "*"
    lead: Code
    co: tuple[Code, ...] = ()
    valid_from: dt.date = Field(default=dt.date.min, description="first day in force")
    valid_to: dt.date = Field(default=dt.date.max, description="last day in force")
    source: Source

    @model_validator(mode="after")
    def _roles_are_distinct(self) -> Self:
        if self.lead in self.co or len(set(self.co)) != len(self.co):
            raise ValueError("a unit occurs twice in lead and co: name each once")
        if self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from: swap them")
        return self
