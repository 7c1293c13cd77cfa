"""The parts that all events share: the CloudEvents envelope, data and words, and the registry of types."""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema

Kind = Literal["fact", "request", "record", "action", "contact"]
"""fact: its owner has decided. request: asks an owner to. record: stands on a unit's topic.
action: a unit's answer. contact: goes from inquiry to publisher alone and is never logged."""

TYPE_PATTERN = r"^civic\.[a-z0-9_]+\.[a-z0-9_]+\.v[1-9][0-9]*$"


def _no_nul(text: str) -> str:
    # Valid in JSON, refused by PostgreSQL: it would fail a whole partition batch.
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


class NoNul:
    """`_no_nul` as a pattern, which pydantic checks without calling Python. The JSON schema does not show it.

    For short fields: in long texts a pattern is slower than a call.
    """

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        return {**schema, "pattern": r"^[^\x00]*$"}

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        found.pop("pattern", None)
        return found


Text = Annotated[str, AfterValidator(_no_nul)]
Token = Annotated[str, NoNul()]
"""A short text made by a machine."""
UnitCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=64)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=200), NoNul()]
Identifier = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[dt.datetime, AwareDatetime]


class EventData(BaseModel):
    """The `data` of an event: codes, times, units, counts, references; no person and no free text."""

    # Readers skip fields of a newer release.
    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")

    contract: ClassVar["Contract"]


class Words(BaseModel):
    """What people wrote; travels beside the value in the header `words` and can be erased."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NoWords(Words):
    """For types that never carry words."""


D_co = TypeVar("D_co", bound=EventData, covariant=True)
F = TypeVar("F", bound=type[EventData])


class Event(BaseModel, Generic[D_co]):
    """A CloudEvent 1.0 in structured mode: the value, which is committed, sent, logged and hashed as one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    type: str
    id: Annotated[str, StringConstraints(min_length=1, max_length=200), NoNul()]
    source: Code
    subject: Code
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None
    sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{10}$")] | None = None
    sequencetype: Literal["Integer"] | None = None
    epoch: int = 1
    partitionkey: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    effectivetime: Moment | None = None
    actor: Token | None = None
    policyversion: Token | None = None
    jurisdiction: Token | None = None
    salt: str | None = None
    wordshash: Digest | None = None
    data: D_co


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one type and version. `topic` is the logical name in `deploy/topics.yaml`.

    `redacted_fields` names the fields of `data` that hold words or a person; an erasure removes them. An
    event of a type that `is_erasure` makes every service delete the words of its subject.
    """

    data_type: type[EventData]
    words: type[Words]
    type: str
    writer: str
    topic: str
    kind: Kind
    parse: Callable[[bytes], Event[Any]]
    redacted_fields: tuple[str, ...] = ()
    is_erasure: bool = False

    @property
    def family(self) -> str:
        """The type without its major version."""
        return self.type.rpartition(".")[0]

    @property
    def schema_id(self) -> str:
        return f"urn:civicloom:contract:{self.type}"


REGISTRY: dict[str, Contract] = {}
FAMILIES: set[str] = set()


def contract(
    event_type: str,
    *,
    writer: str,
    kind: Kind = "fact",
    topic: str | None = None,
    words: type[Words] = NoWords,
    redacted_fields: tuple[str, ...] = (),
    is_erasure: bool = False,
) -> Callable[[F], F]:
    """Registers the decorated model as the data of `event_type`. Each type has exactly one writing service.

    The decorator raises ValueError if the type is registered already.
    """

    def register(data_type: F) -> F:
        if event_type in REGISTRY:
            raise ValueError(f"{event_type} is registered twice")
        parse = Event[data_type].model_validate_json  # type: ignore[valid-type]
        entry = Contract(
            data_type, words, event_type, writer, topic or writer, kind, parse, redacted_fields, is_erasure
        )
        data_type.contract = entry
        REGISTRY[event_type] = entry
        FAMILIES.add(entry.family)
        return data_type

    return register


def words_hash(words: bytes) -> str:
    """`wordshash`: SHA-256(0x03 || words) in hex. RFC 6962 uses 0x00 and 0x01, the log's commitments 0x02."""
    return hashlib.sha256(b"\3" + words).hexdigest()


ORDINALS_PER_EPOCH = 10**10
MAX_EPOCH = 9 * 10**8
"""Its ordinals fit 64 bits. Checked in decoding: the published schema must not get a new maximum."""


def ordinal(epoch: int, sequence: str | int) -> int:
    """Epoch and sequence as one number: order is epoch first, then sequence."""
    return epoch * ORDINALS_PER_EPOCH + int(sequence)
