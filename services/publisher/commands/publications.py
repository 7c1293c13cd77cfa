"""What people do with publications: load, decide, store, emit, in one transaction on the locked one."""

from dataclasses import dataclass
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

from services.publisher.domain import publications
from services.publisher.domain.publications import Act, Publication, Refusal
from services.publisher.queries import QUERIES
from shared.contracts.base import EventData, Words
from shared.contracts.inquiry import NoteWords
from shared.contracts.publisher import (
    PublicationApproved,
    PublicationDrafted,
    PublicationPublished,
    PublicationWithdrawn,
    PublicationWords,
)
from shared.decision import TimerSpec
from shared.errors import CivicloomError, Conflict
from shared.unit_of_work.transaction import Emitted, Tx

PUSH = "push_publication"


def _topics(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        if not publications.is_topic(code):
            raise ValueError(
                f"a topic is a code of a-z, 0-9 and dashes, and not `all`: {code[:64]!r} is none"
            )
    return tuple(dict.fromkeys(codes))


def _newlines(text: object) -> object:
    """Lines end alike wherever they were typed: browsers send CR LF, and so do some programs."""
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


class Refused(Conflict):
    """The rules do not allow the act: state, rule, and what is allowed now."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.rule} in state {refusal.state}")
        self.refusal = refusal


class NoSuchPublication(CivicloomError):
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """In whose name and under which rules a person acts: kept in every event."""

    actor: str
    policy: str
    jurisdiction: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What the act has made, and the last sequence of the publication's events."""

    id: str
    publication: Publication
    sequence: int


async def draft(tx: Tx, identifier: str, content: Content, attribution: Attribution) -> CommandResult:
    """A new publication; `identifier` was made for this transaction. Emits publication.drafted."""
    publication = publications.drafted(attribution.actor)
    await tx.connection.execute(
        QUERIES["insert_publication"], identifier, publication.state, publication.version, tx.now
    )
    return await _store_draft(tx, identifier, publication, content, attribution)


async def revise(
    tx: Tx, identifier: str, content: Content, version: int, attribution: Attribution
) -> CommandResult:
    """A new version, which needs a new approval; what is public stays so until that is published.

    Raises NoSuchPublication, Refused. Emits publication.drafted.
    """
    publication, _ = await _decide(tx, identifier, "revise", attribution, version)
    await _move(tx, identifier, publication)
    return await _store_draft(tx, identifier, publication, content, attribution)


async def approve(tx: Tx, identifier: str, version: int, attribution: Attribution) -> CommandResult:
    """A second person answers for the version.

    Raises NoSuchPublication, Refused. Emits publication.approved.
    """
    publication, _ = await _decide(tx, identifier, "approve", attribution, version)
    await _move(tx, identifier, publication)
    await tx.connection.execute(QUERIES["approve_version"], identifier, version, attribution.actor, tx.now)
    return _emitted(
        identifier,
        publication,
        _emit(tx, identifier, attribution, PublicationApproved(version=version, approver=attribution.actor)),
    )


async def publish(tx: Tx, identifier: str, version: int, attribution: Attribution) -> CommandResult:
    """Makes the approved version public and sends it on its way to subscribers.

    Raises NoSuchPublication, Refused. Emits publication.published.
    """
    publication, topics = await _decide(tx, identifier, "publish", attribution, version)
    await _move(tx, identifier, publication)
    await tx.connection.execute(QUERIES["publish_version"], identifier, version, tx.now)
    await tx.connection.execute(QUERIES["swap_public_version"], identifier, version, tx.now)
    # A timer of its own transaction: the editor does not wait until every subscriber has a ledger row.
    tx.schedule(identifier, TimerSpec(PUSH, tx.now, {"version": version}))
    data = PublicationPublished(version=version, topics=topics, publisher=attribution.actor)
    return _emitted(identifier, publication, _emit(tx, identifier, attribution, data))


async def withdraw(
    tx: Tx, identifier: str, version: int, reason: str, attribution: Attribution
) -> CommandResult:
    """Takes a public one back, with the reason.

    Raises NoSuchPublication, Refused. Emits publication.withdrawn.
    """
    publication, _ = await _decide(tx, identifier, "withdraw", attribution, version)
    await _move(tx, identifier, publication)
    await tx.connection.execute(QUERIES["withdraw_publication"], identifier, reason, tx.now)
    await tx.connection.execute(QUERIES["swap_public_version"], identifier, None, tx.now)
    tx.cancel(identifier, PUSH)
    assert publication.public_version is not None  # noqa: S101  (the rule `never_published`)
    data = PublicationWithdrawn(version=publication.public_version, by=attribution.actor)
    return _emitted(identifier, publication, _emit(tx, identifier, attribution, data, NoteWords(text=reason)))


async def _decide(
    tx: Tx, identifier: str, act: Act, attribution: Attribution, version: int
) -> tuple[Publication, tuple[str, ...]]:
    row = await tx.connection.fetchrow(QUERIES["publication_head"], identifier)
    if row is None:
        raise NoSuchPublication(identifier)
    before = Publication(row["state"], row["version"], row["public_version"], row["editor"])
    after = publications.decide(before, act, attribution.actor, version)
    if isinstance(after, Refusal):
        raise Refused(after)
    return after, tuple(row["topics"])


async def _move(tx: Tx, identifier: str, publication: Publication) -> None:
    await tx.connection.execute(
        QUERIES["move_publication"], identifier, publication.state, publication.version, tx.now
    )


async def _store_draft(
    tx: Tx, identifier: str, publication: Publication, content: Content, attribution: Attribution
) -> CommandResult:
    await tx.connection.execute(
        QUERIES["insert_version"],
        identifier,
        publication.version,
        content.title,
        content.summary,
        content.body,
        list(content.topics),
        content.document_number,
        content.effective_from,
        attribution.actor,
        tx.now,
    )
    data = PublicationDrafted(
        version=publication.version,
        topics=content.topics,
        document_number=content.document_number,
        effective_from=content.effective_from,
        editor=attribution.actor,
    )
    words = PublicationWords(title=content.title, summary=content.summary, body=content.body)
    return _emitted(identifier, publication, _emit(tx, identifier, attribution, data, words))


def _emit(
    tx: Tx, identifier: str, attribution: Attribution, data: EventData, words: Words | None = None
) -> Emitted:
    return tx.emit(
        data,
        subject=identifier,
        words=words,
        actor=attribution.actor,
        policy=attribution.policy,
        jurisdiction=attribution.jurisdiction,
    )


def _emitted(identifier: str, publication: Publication, emitted: Emitted) -> CommandResult:
    return CommandResult(identifier, publication, emitted.sequence)
