"""A mapping file (YAML): how the columns of one source become concerns. Faults name file and line."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from shared.contracts.base import Code
from shared.contracts.inquiry import CaseKind, Visibility
from shared.policy.errors import PolicyError
from shared.policy.loader import faults_of
from shared.policy.sources import Document, read_yaml
from shared.policy.tables import Row

ISO = "iso"
"""In `formats`: ISO 8601, with or without an offset."""

_PART = re.compile(r"\{([^{}]*)\}")


class Template(Row):
    """Text with `{column}` in it. Cells are inserted unchanged: nothing is stripped or escaped."""

    pattern: str = Field(min_length=1)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_PART.findall(self.pattern))

    def fill(self, cells: dict[str, str]) -> str:
        """The text for a row; a column that the row lacks counts as empty."""
        return _PART.sub(lambda part: cells.get(part[1], ""), self.pattern)


class Choice(Row):
    """A code of the policy pack: the same for all rows (`constant`), or read from a column.

    The column holds the code itself, or with `by: name` the name that the pack has for it; `values`
    translates single cells first. `otherwise` is used for an empty cell and for one that matches no code.
    """

    constant: str | None = None
    column: str | None = None
    by: Literal["code", "name"] = "code"
    values: dict[str, str] = Field(default_factory=dict)
    otherwise: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.constant is None) == (self.column is None):
            raise ValueError("give either one code for all rows or a `column`")
        return self


class Position(Row):
    """The columns of coordinates in degrees (WGS 84), and the box outside which they are discarded."""

    latitude: str
    longitude: str
    south: float = Field(ge=-90, le=90)
    north: float = Field(ge=-90, le=90)
    west: float = Field(ge=-180, le=180)
    east: float = Field(ge=-180, le=180)


class OriginalTime(Row):
    """The column of the time in the source system; `formats` are strptime's, or `iso`, tried in order."""

    column: str
    formats: tuple[str, ...] = Field(min_length=1)
    timezone: str

    @field_validator("timezone")
    @classmethod
    def _a_known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {name!r}: name one such as Asia/Shanghai") from error
        return name


def _bare_template(value: Any) -> Any:
    return {"pattern": value} if isinstance(value, str) else value


def _bare_choice(value: Any) -> Any:
    return {"constant": value} if isinstance(value, str) else value


Templated = Annotated[Template, BeforeValidator(_bare_template)]
Chosen = Annotated[Choice, BeforeValidator(_bare_choice)]


class Mapping(Row):
    """The whole file. `source` and the cell of the column `id` identify a row across all imports."""

    source: Code
    format: Literal["csv", "jsonl"]
    id: str
    title: Templated
    text: Templated
    service: Chosen
    place: Templated | None = None
    position: Position | None = None
    area: Chosen | None = None
    kind: CaseKind | None = None
    """Without it, the kind that the pack gives to the service."""
    hint: Chosen | None = None
    """The unit that the source names: proposed to a dispatcher where no rule places the case."""
    time: OriginalTime | None = None
    visibility: Visibility = "public"

    @property
    def columns(self) -> list[str]:
        """Every column that the mapping reads, in order."""
        choices = [choice for choice in (self.service, self.area, self.hint) if choice]
        templates = [template for template in (self.title, self.text, self.place) if template]
        named = [
            self.id,
            *(column for template in templates for column in template.columns),
            *(choice.column for choice in choices if choice.column is not None),
            *((self.position.latitude, self.position.longitude) if self.position else ()),
            *((self.time.column,) if self.time else ()),
        ]
        return list(dict.fromkeys(named))


def load_mapping(path: Path) -> tuple[Mapping, Document]:
    """The mapping in a file, and the document, which gives the line of any member.

    Raises PolicyError with every fault, each with file and line.
    """
    problems: list[Any] = []
    document = read_yaml(path, problems)
    if not problems:
        try:
            return Mapping.model_validate(document.data), document
        except ValidationError as error:
            problems = list(faults_of(error, document))
    raise PolicyError(problem._replace(file=str(path)) for problem in problems)
