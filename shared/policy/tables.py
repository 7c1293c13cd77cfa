"""The tables of a pack as rows: what its YAML and CSV files say, checked and frozen.

Every row that holds a number names its `source`. Optional fields have defaults that leave a pack's
version unchanged when a later release adds one (see `model.canonical`).
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
# Finite, and small enough that adding it to a date stays a date.
Amount = Annotated[int | float, Field(gt=0, le=10_000)]

ClockCode = Literal[
    "triage", "supplement", "sign", "contact", "return", "decide", "check", "ask-review", "review"
]
"""The clocks of the procedure: one that no service asks for would run for nobody."""
REQUIRED_CLOCKS: tuple[ClockCode, ...] = ("sign",)
"""Those without which no case can be dispatched."""


class DayCount(StrEnum):
    """How a budget runs. Whole days never count the day of receipt."""

    HOURS_24X7 = "hours_24x7"
    HOURS_DUTY = "hours_duty"
    WORKING_DAYS = "working_days"
    CALENDAR_DAYS = "calendar_days"
    CALENDAR_ROLL = "calendar_roll"
    MONTHS = "months"

    @property
    def hourly(self) -> bool:
        """Whether the amount is hours, which may be broken, and not whole days or months."""
        return self in (DayCount.HOURS_24X7, DayCount.HOURS_DUTY)


class Row(BaseModel):
    """A frozen row; an unknown field is an error, as it is nearly always a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Title(Row):
    """A name for readers of Chinese and of English, and in the place's own language if that is neither."""

    zh: str
    en: str
    local: str | None = None


class Head(Row):
    """pack.yaml: which place the pack is for, and what each source named in a row is."""

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
            raise ValueError(f'{name!r} is no IANA time zone: write it like "Asia/Shanghai"') from error
        return name


class Budget(Row):
    """So much time: hours (may be broken) or whole days or months, by `day_count`."""

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


def _told_whole(budget: Budget) -> Budget:
    _check_told_whole(budget.amount, budget.day_count)
    return budget


def _check_told_whole(amount: int | float, day_count: DayCount) -> None:
    if amount != int(amount):
        raise ValueError(f"{amount} {day_count}: a reply's budget is told in whole hours: round it")


ReplyBudget = Annotated[Budget, AfterValidator(_told_whole)]
"""The budget of a reply, which events tell as a whole number."""


class Rework(Row):
    """How a case that was not solved is done again (重办)."""

    share: float = Field(gt=0, le=1, description="part of the first budget that the lead gets anew")
    maximum: int = Field(ge=0, description="reworks after which the case is a hard case")
    minimum: ReplyBudget | None = Field(
        default=None, description="what the share is at least, within the first"
    )
    source: Source


class Warn(Row):
    """At which used parts of the reply budget somebody is told, in percent."""

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
    """A clock of the procedure, such as sign (签收); `urgent` replaces `normal` for urgent cases."""

    code: ClockCode
    title: Title
    normal: Budget
    urgent: Budget | None = None


class Limits(Row):
    """How often a department may return a case (退回)."""

    returns_per_unit: int = Field(ge=0)
    returns_per_case: int = Field(ge=0)
    source: Source


class Named(Row):
    """A row that people know by a name: the place's own, and an English one where that is another."""

    name: str = Field(min_length=1)
    name_en: str | None = None

    def in_language(self, language: str) -> str:
        """The name for readers of that language."""
        return self.name_en if language == "en" and self.name_en else self.name


class Service(Named):
    """A line of services.csv: what a citizen can ask for (GeoReport v2 service)."""

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
            _check_told_whole(self.due_amount, self.due_day_count)
        return self

    def group_in(self, language: str) -> str:
        """The name of its group for readers of that language."""
        return self.group_en if language == "en" and self.group_en else self.group

    @property
    def due(self) -> Budget | None:
        """The service's own reply budget, where it differs from that of its kind."""
        if self.due_amount is None or self.due_day_count is None:
            return None
        return Budget(amount=self.due_amount, day_count=self.due_day_count, source=self.source)


class Department(Named):
    """A line of departments.csv: a unit (承办单位) that can hold a case."""

    code: Code
    kind: str = Field(min_length=1)
    kafka: bool
    source: Source


class Area(Named):
    """A line of areas.csv: a part of the city by which the catalogue may choose the lead."""

    code: Code
    source: Source


class CatalogueRow(Row):
    """A line of catalogue.csv, the dispatch catalogue (派单目录): who leads and who helps."""

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
            raise ValueError("a unit stands twice in lead and co: name each once")
        if self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from: swap them")
        return self
