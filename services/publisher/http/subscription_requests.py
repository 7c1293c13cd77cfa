"""Bodies of requests to subscribe."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.publisher.domain.publications import is_topic


def _topics(codes: tuple[str, ...]) -> tuple[str, ...]:
    if not all(is_topic(code) for code in codes):
        raise ValueError("a topic is a code of a-z, 0-9 and dashes; leave the list empty for all")
    return tuple(dict.fromkeys(codes))


Topics = Annotated[tuple[str, ...], Field(max_length=20), AfterValidator(_topics)]


class Subscribe(BaseModel):
    """What the API takes: `address` for e-mail, `url` for a webhook; no `topics` means all."""

    model_config = ConfigDict(extra="forbid")

    lane: Literal["email", "webhook"]
    address: Annotated[str, Field(max_length=254)] | None = None
    url: Annotated[str, Field(max_length=2000)] | None = None
    topics: Topics = ()
    language: Literal["zh", "en"] = "zh"


class SubscribeForm(BaseModel):
    """The form of the page."""

    address: Annotated[str, Field(max_length=254)]
    topics: Topics = ()
    idempotency_key: Annotated[str, Field(min_length=1, max_length=64)]
