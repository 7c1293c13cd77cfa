"""Events in: what inquiry tells about cases, and what units do with them. Load, decide, say, store."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.routing import queries
from services.routing.domain import dispatch, facts
from services.routing.domain.case_file import CaseFile, Outcome
from services.routing.domain.decisions import Acting, Action
from services.routing.effects import BY_RULE, act, load_with_policies, say
from services.routing.orphan_actions import Unfit, refuse_later, unfit
from services.routing.policy import Policies
from shared.contracts.base import EventData
from shared.contracts.inquiry import (
    InquiryAccepted,
    InquiryClosed,
    InquiryErased,
    InquiryReceived,
    InquiryReopened,
    InquiryReplied,
    InquiryRequestRefused,
    InquiryWords,
    NoteWords,
)
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.events.decoding import IncomingEvent
from shared.ids import is_id
from shared.inbox.handlers import Fault, Handlers, Results
from shared.kafka.topics import code_of
from shared.packs import PackNotHere
from shared.unit_of_work.transaction import Tx

D = TypeVar("D", bound=EventData)
Absorb = Callable[[CaseFile, IncomingEvent[D]], Outcome]


def build_handlers(policies: Policies) -> Handlers:
    """The handlers of routing, on these policies."""
    handlers = Handlers(on_unhandled=unfit)
    _read_inquiry(handlers, policies)
    _read_actions(handlers, policies)
    return handlers


def _read_inquiry(handlers: Handlers, policies: Policies) -> None:
    @handlers.on(InquiryReceived)
    async def received(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        told = {e.subject: e.words for e in events if isinstance(e.words, InquiryWords)}

        def absorb(file: CaseFile, event: IncomingEvent[InquiryReceived]) -> Outcome:
            version, jurisdiction = event.event.policyversion, event.event.jurisdiction
            return Outcome(facts.received(file, event.data, event.effective, version, jurisdiction))

        return await _absorb(tx, policies, events, absorb, told)

    @handlers.on(InquiryAccepted)
    async def accepted(tx: Tx, events: list[IncomingEvent[InquiryAccepted]]) -> Results:
        return await _absorb(tx, policies, events, lambda f, e: Outcome(facts.accepted(f, e.data)))

    @handlers.on(InquiryReplied)
    async def replied(tx: Tx, events: list[IncomingEvent[InquiryReplied]]) -> Results:
        return await _absorb(tx, policies, events, lambda f, e: facts.replied(f, e.event.causationid))

    @handlers.on(InquiryRequestRefused)
    async def request_refused(tx: Tx, events: list[IncomingEvent[InquiryRequestRefused]]) -> Results:
        return await _absorb(
            tx, policies, events, lambda f, e: facts.request_refused(f, e.data, e.event.causationid)
        )

    @handlers.on(InquiryClosed)
    async def closed(tx: Tx, events: list[IncomingEvent[InquiryClosed]]) -> Results:
        return await _absorb(tx, policies, events, lambda f, e: facts.closed(f, e.data, e.effective))

    @handlers.on(InquiryReopened)
    async def reopened(tx: Tx, events: list[IncomingEvent[InquiryReopened]]) -> Results:
        def absorb(file: CaseFile, event: IncomingEvent[InquiryReopened]) -> Outcome:
            note = event.words.text if isinstance(event.words, NoteWords) else None
            return facts.reopened(file, event.data, note)

        return await _absorb(tx, policies, events, absorb)

    @handlers.on(InquiryErased)
    async def erased(tx: Tx, events: list[IncomingEvent[InquiryErased]]) -> Results:
        return await _absorb(tx, policies, events, lambda f, e: facts.erased(f, e.effective))


async def _absorb(
    tx: Tx,
    policies: Policies,
    events: Sequence[IncomingEvent[D]],
    absorb: Absorb[D],
    told: dict[str, InquiryWords] | None = None,
) -> Results:
    """Absorbs one fact a case; a case that this makes ready is placed in the same transaction."""
    files = await load_with_policies(tx, policies, [event.subject for event in events])
    await policies.load(tx.connection, {event.event.policyversion for event in events})
    outcomes = [absorb(files.get(e.subject) or CaseFile(e.subject), e) for e in events]
    words = told or await _words_of_ready(tx, outcomes)
    results: list[Fault | None] = []
    changed: list[CaseFile] = []
    for event, absorbed in zip(events, outcomes, strict=True):
        outcome, file = absorbed, absorbed.file
        try:
            policy = policies.of(file.policy_version)
        except PackNotHere as error:
            # Not permanent: the folder may be brought up to date while the key is parked.
            results.append(Fault(type(error).__name__, str(error)))
            continue
        actor = None
        if file.ready:
            placed = dispatch.place(file, words.get(file.id), policy.pack, policy.catalogue, event.effective)
            outcome, actor = Outcome(placed.file, (*outcome.said, *placed.said)), BY_RULE
        file, _ = say(tx, outcome, policy, cause=event, actor=actor)
        changed.append(file)
        results.append(None)
    await queries.save(tx.connection, changed, told)
    return results


async def _words_of_ready(tx: Tx, outcomes: Sequence[Outcome]) -> dict[str, InquiryWords]:
    ready = [outcome.file.id for outcome in outcomes if outcome.file.ready]
    return await queries.words(tx.connection, ready) if ready else {}


def _read_actions(handlers: Handlers, policies: Policies) -> None:
    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        return await _act(tx, policies, events)

    @handlers.on(ReplyAction)
    async def reply(tx: Tx, events: list[IncomingEvent[ReplyAction]]) -> Results:
        return await _act(tx, policies, events)

    @handlers.on(ReturnAction)
    async def give_back(tx: Tx, events: list[IncomingEvent[ReturnAction]]) -> Results:
        return await _act(tx, policies, events)

    @handlers.on(Unfit)
    async def no_action(tx: Tx, events: list[IncomingEvent[Unfit]]) -> Results:
        await refuse_later(
            tx, [_stray(event, event.data.action, event.data.rule, event.data.detail) for event in events]
        )
        return None


async def _act(tx: Tx, policies: Policies, events: Sequence[IncomingEvent[Action]]) -> Results:
    """One action a case. What nobody knows is refused later, in the unit's own name."""
    files = await load_with_policies(tx, policies, [e.subject for e in events if is_id(e.subject)])
    changed: list[CaseFile] = []
    strays: list[queries.StrayAction] = []
    for event in events:
        file = files.get(event.subject)
        if file is None:
            strays.append(_stray(event, event.id, "unknown_case"))
            continue
        unit = _unit_of(event)
        acting = Acting(unit, event.id, by_topic=True)
        after, _, _ = act(tx, policies, file, acting, event.data, cause=event, actor=f"unit:{unit}")
        changed.append(after)
    await queries.save(tx.connection, changed)
    await refuse_later(tx, strays)
    return None


def _stray(
    event: IncomingEvent[EventData], action: str, rule: str, detail: str | None = None
) -> queries.StrayAction:
    return queries.StrayAction(_unit_of(event), action, rule, detail, event.effective)


def _unit_of(event: IncomingEvent[EventData]) -> str:
    unit = code_of(event.record.topic)
    assert unit is not None  # noqa: S101  (an action is taken from a unit's topic alone)
    return unit
