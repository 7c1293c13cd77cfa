"""The declaration of topics, `deploy/topics.yaml`: names, partitions, replication and retention."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.contracts.addresses import ADDRESSES, TEMPLATES, code_of, topic_name
from shared.errors import CivicloomError

__all__ = ["DECLARATION", "TopicSpec", "Topics", "TopicsInvalid", "code_of", "load_topics", "topic_name"]

DECLARATION = Path(__file__).resolve().parents[2] / "deploy" / "topics.yaml"

# The core depends on these: effective time is append time, sequences have no gaps, and a batch that our
# client cannot decompress would stop every reader.
_FIXED = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "compression.type": "uncompressed",
}
# Must be stated: the broker's default would lose or refuse events silently.
_STATED = ("retention.ms", "max.message.bytes", "min.insync.replicas")


class TopicsInvalid(CivicloomError):
    """The declaration is unusable; the message has one line per fault, each with the file."""

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.path, self.problems = path, tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


def _in_kafkas_spelling(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


Config = dict[str, Annotated[str, BeforeValidator(_in_kafkas_spelling)]]
Count = Annotated[int, Field(ge=1, le=10_000)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: Count | None = None
    replication: Count | None = None
    config: Config = {}
    unreplicated: Config | None = None
    """Added to `config` where a topic has one replica only; the defaults', if it is left out."""


class _Defaults(_Declared):
    partitions: Count
    replication: Count
    unreplicated: Config = {}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be on the broker; `config` uses Kafka's names and spellings.

    `unset` are settings that it must not have, since it has more than one replica.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    unset: frozenset[str] = frozenset()


class Topics(BaseModel):
    """The whole declaration; it must name every topic of the contract."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: _Defaults
    topics: dict[str, _Declared]
    templates: dict[str, _Declared]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for section, found, expected in (
            ("topics", self.topics.keys(), ADDRESSES.keys() - TEMPLATES),
            ("templates", self.templates.keys(), TEMPLATES),
        ):
            if missing := sorted(expected - found):
                raise ValueError(f"{section}: {', '.join(missing)} missing")
            if unknown := sorted(found - expected):
                raise ValueError(f"{section}: {', '.join(unknown)} not in the contract")
        for logical in ADDRESSES:
            self._check(logical, self._spec(logical, logical, None))
        return self

    def specs(
        self, namespace: str, codes: Iterable[str], *, replication: int | None = None
    ) -> list[TopicSpec]:
        """All topics of an installation in which the units `codes` use Kafka, service topics first.

        `replication` overrides the file's for all topics, with min.insync.replicas one less (at least 1), so
        that one broker may be down. Raises ValueError for an invalid namespace, code or replication.
        """
        if replication is not None and replication < 1:
            raise ValueError(f"replication must be 1 or more, not {replication}")
        fixed = [(logical, topic_name(namespace, logical)) for logical in self.topics]
        units = [
            (logical, topic_name(namespace, logical, code))
            for code in sorted(set(codes))
            for logical in self.templates
        ]
        return [self._spec(logical, name, replication) for logical, name in fixed + units]

    def retention(self, logical: str) -> dt.timedelta:
        """How long records stay on the topics of a logical name."""
        return dt.timedelta(milliseconds=int(self._spec(logical, logical, None).config["retention.ms"]))

    def _spec(self, logical: str, name: str, replication: int | None) -> TopicSpec:
        own = self.templates[logical] if logical in TEMPLATES else self.topics[logical]
        config = {**self.defaults.config, **own.config}
        if replication is not None:
            config["min.insync.replicas"] = str(max(1, replication - 1))
        replicas = replication or own.replication or self.defaults.replication
        alone = self.defaults.unreplicated if own.unreplicated is None else own.unreplicated
        unset = frozenset[str]()
        if replicas == 1:
            config |= alone
        else:
            unset = frozenset(alone.keys() - config.keys())
        return TopicSpec(name, own.partitions or self.defaults.partitions, replicas, config, unset)

    def _check(self, logical: str, spec: TopicSpec) -> None:
        for name, value in _FIXED.items():
            if spec.config.get(name) != value:
                raise ValueError(f"{logical}: {name} must be {value}, the core depends on it")
        for name in _STATED:
            value = spec.config.get(name, "")
            if not value.isdecimal() or int(value) == 0:
                raise ValueError(f"{logical}: {name} must be stated, a whole number above 0")
        if int(spec.config["min.insync.replicas"]) > spec.replication:
            raise ValueError(f"{logical}: min.insync.replicas above replication, no write would be accepted")


def load_topics(path: Path = DECLARATION) -> Topics:
    """Reads the declaration. Raises TopicsInvalid if the file is unreadable, not YAML, or invalid."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Topics.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise TopicsInvalid(path, [f"cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        raise TopicsInvalid(path, [f"is not YAML: {' '.join(str(error).split())}"]) from error
    except ValidationError as error:
        raise TopicsInvalid(path, [_sentence(fault) for fault in error.errors()]) from error


def _sentence(fault: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{location}: {message}" if location else message
