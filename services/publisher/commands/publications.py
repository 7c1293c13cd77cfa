"""What staff do with publications: load, decide, store, emit, and answer once per key, in one transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.publisher.commands.keyed import once
from services.publisher.domain import decisions
from services.publisher.domain.content import Content
from services.publisher.domain.publications import Publication
from services.publisher.queries import publications
from shared.decision import Decision, Refusal, Refused
from shared.errors import CivicloomError
from shared.ids import new_id
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Tx


class NoSuchPublication(CivicloomError):
    """There is no publication with this id."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who acts, under which policy version and jurisdiction: stored in every event."""

    actor: str
    policy: str
    jurisdiction: str


async def draft(database: Database, request: Request, content: Content, *, by: Attribution) -> Answer:
    """Drafts a publication; 201 with its new id. Raises KeyReused, Conflict. Emits publication.drafted."""
    identifier = new_id(database.clock.now())
    async with database.transaction(new=[identifier]) as tx:

        async def act() -> Answer:
            decision = decisions.draft(content, by.actor)
            await publications.insert_publication(tx, identifier, decision.state)
            await publications.insert_version(tx, identifier, decision.state, content)
            return _emit(tx, identifier, decision, by, status=201)

        return await once(tx, request, act)


async def revise(
    database: Database, request: Request, identifier: str, content: Content, version: int, *, by: Attribution
) -> Answer:
    """Makes a new version. Raises NoSuchPublication, Refused, KeyReused, Conflict.

    Emits publication.drafted.
    """

    async def act(tx: Tx, publication: Publication) -> Answer:
        decision = _allowed(decisions.revise(publication, content, version, by.actor))
        await publications.store(tx, identifier, decision.state)
        await publications.insert_version(tx, identifier, decision.state, content)
        return _emit(tx, identifier, decision, by)

    return await _on(database, request, identifier, act)


async def approve(
    database: Database, request: Request, identifier: str, version: int, *, by: Attribution
) -> Answer:
    """Approves the version as a second person. Raises NoSuchPublication, Refused, KeyReused, Conflict.

    Emits publication.approved.
    """

    async def act(tx: Tx, publication: Publication) -> Answer:
        decision = _allowed(decisions.approve(publication, version, by.actor))
        await publications.store(tx, identifier, decision.state)
        await publications.approve_version(tx, identifier, version, by.actor)
        return _emit(tx, identifier, decision, by)

    return await _on(database, request, identifier, act)


async def publish(
    database: Database, request: Request, identifier: str, version: int, *, by: Attribution
) -> Answer:
    """Makes the approved version public. Raises NoSuchPublication, Refused, KeyReused, Conflict.

    Emits publication.published.
    """

    async def act(tx: Tx, publication: Publication) -> Answer:
        decision = _allowed(decisions.publish(publication, version, by.actor, tx.now))
        await publications.store(tx, identifier, decision.state)
        await publications.publish_version(tx, identifier, version)
        return _emit(tx, identifier, decision, by)

    return await _on(database, request, identifier, act)


async def withdraw(
    database: Database, request: Request, identifier: str, version: int, *, reason: str, by: Attribution
) -> Answer:
    """Withdraws the public version. Raises NoSuchPublication, Refused, KeyReused, Conflict.

    Emits publication.withdrawn.
    """

    async def act(tx: Tx, publication: Publication) -> Answer:
        decision = _allowed(decisions.withdraw(publication, version, reason, by.actor))
        await publications.store(tx, identifier, decision.state)
        await publications.withdraw_publication(tx, identifier, reason)
        return _emit(tx, identifier, decision, by)

    return await _on(database, request, identifier, act)


async def _on(
    database: Database,
    request: Request,
    identifier: str,
    act: Callable[[Tx, Publication], Awaitable[Answer]],
) -> Answer:
    async with database.transaction([identifier]) as tx:

        async def load_and_act() -> Answer:
            publication = await publications.load(tx, identifier)
            if publication is None:
                raise NoSuchPublication(identifier)
            return await act(tx, publication)

        return await once(tx, request, load_and_act)


def _allowed(decision: Decision[Publication] | Refusal) -> Decision[Publication]:
    if isinstance(decision, Refusal):
        raise Refused(decision)
    return decision


def _emit(
    tx: Tx, identifier: str, decision: Decision[Publication], by: Attribution, status: int = 200
) -> Answer:
    """Emits the decision's events, sets its timers, and answers with the publication's state."""
    emitted = [
        tx.emit(
            event.data,
            subject=identifier,
            words=event.words,
            actor=by.actor,
            policy=by.policy,
            jurisdiction=by.jurisdiction,
        )
        for event in decision.events
    ]
    for timer in decision.timers:
        tx.schedule(identifier, timer)
    tx.cancel(identifier, *decision.cancelled)
    publication = decision.state
    body = {
        "id": identifier,
        "state": publication.state,
        "version": publication.version,
        "public_version": publication.public_version,
        "allowed": list(publication.allowed),
        "sequence": emitted[-1].sequence,
    }
    return Answer(status, body)
