"""What handlers and commands do with an outcome: say it, in order, and store the files, set by set."""

from collections.abc import Iterable
from dataclasses import replace

from services.routing import queries
from services.routing.domain.case_file import CaseFile, Outcome, Said
from services.routing.domain.decisions import Acting, Action, Refusal, decide
from services.routing.policy import Policies, Policy
from shared.contracts.base import EventData
from shared.contracts.routing import ReplyProposed
from shared.events.decoding import IncomingEvent
from shared.unit_of_work.transaction import Emitted, Tx

BY_RULE = "service:routing"
"""The actor of what the catalogue decides."""


def say(
    tx: Tx,
    outcome: Outcome,
    policy: Policy,
    *,
    cause: IncomingEvent[EventData] | None = None,
    actor: str | None = None,
) -> tuple[CaseFile, Emitted | None]:
    """Emits what is said: the file, knowing its request's id, and the last event about the case, if any.

    Records go to units that have topics; the others see the case at their desk.
    """
    file, last = outcome.file, None
    for said in outcome.said:
        if said.unit is not None and not policy.department_has_topic(said.unit):
            continue
        emitted = _emit(tx, file, said, cause=cause, actor=actor, after=last)
        if said.unit is None:
            last = emitted
        if isinstance(said.facts, ReplyProposed) and file.proposal is not None:
            file = replace(file, proposal=replace(file.proposal, id=emitted.id))
    return file, last


def _emit(
    tx: Tx,
    file: CaseFile,
    said: Said,
    *,
    cause: IncomingEvent[EventData] | None,
    actor: str | None,
    after: Emitted | None,
) -> Emitted:
    return tx.emit(
        said.facts,
        subject=file.id,
        words=said.words,
        cause=cause,
        actor=actor,
        policy=file.policy_version,
        jurisdiction=file.jurisdiction,
        unit=said.unit,
        # Two units may act on one case under one action id.
        target=said.unit or actor or "",
        causation=after.id if said.unit is not None and after is not None else None,
    )


def act(
    tx: Tx,
    policies: Policies,
    file: CaseFile,
    acting: Acting,
    action: Action,
    *,
    cause: IncomingEvent[EventData] | None = None,
    actor: str,
) -> tuple[CaseFile, Emitted | None, Refusal | None]:
    """A unit acts: the file to store, the event that says it, and the refusal if the rules are against it."""
    at = cause.effective if cause else tx.now
    outcome, refused = decide(file, acting, action, at)
    after, emitted = say(tx, outcome, policies.of(file.policy_version), cause=cause, actor=actor)
    return after, emitted, refused


async def load_with_policies(tx: Tx, policies: Policies, ids: Iterable[str]) -> dict[str, CaseFile]:
    """The files that exist, with the policy versions that they live under at hand."""
    files = await queries.case_files(tx.connection, list(ids))
    await policies.load(tx.connection, (file.policy_version for file in files.values()))
    return files
