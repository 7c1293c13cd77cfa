"""What an editor writes, with its limits."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from services.publisher.domain.publications import is_topic


def _topics(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        if not is_topic(code):
            raise ValueError(
                f"a topic is a code of a-z, 0-9 and dashes, and not `all`: {code[:64]!r} is none"
            )
    return tuple(dict.fromkeys(codes))


def _newlines(text: object) -> object:
    """LF for every line ending: browsers send CR LF, and so do some programs."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


Summary = Annotated[
    str, BeforeValidator(_newlines), StringConstraints(strip_whitespace=True, max_length=1_000)
]
Body = Annotated[str, BeforeValidator(_newlines), StringConstraints(min_length=1, max_length=20_000)]
Reason = Annotated[
    str, BeforeValidator(_newlines), StringConstraints(strip_whitespace=True, max_length=1_000)
]


class Content(BaseModel):
    """What an editor writes. Lengths are in characters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    summary: Summary = ""
    body: Body
    topics: Annotated[tuple[str, ...], Field(max_length=10), AfterValidator(_topics)] = ()
    document_number: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None
    ) = None
    effective_from: AwareDatetime | None = None
