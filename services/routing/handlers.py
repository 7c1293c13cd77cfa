"""Events in: what inquiry reports about cases, and what units do with them. Load, decide, emit, store."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from services.routing import queries
from services.routing.domain import facts
from services.routing.domain.case_file import CaseFile
from services.routing.domain.decisions import Action, ActionRequest, decide
from services.routing.domain.dispatch import dispatch_by_catalogue
from services.routing.effects import BY_RULE, carry_out, load_case_files, refuse
from services.routing.orphan_actions import NO_PART, InvalidAction, invalid_action, refuse_later
from services.routing.policy import catalogue_of
from services.routing.queries import OrphanAction
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
from shared.decision import Decision, Refusal
from shared.events.decoding import IncomingEvent
from shared.ids import is_id
from shared.inbox.handlers import Fault, Handlers, Refused, Result, Results
from shared.kafka.topics import code_of
from shared.packs import PackNotHere, Packs
from shared.unit_of_work.expectations import Kind
from shared.unit_of_work.transaction import Tx

D = TypeVar("D", bound=EventData)
Absorb = Callable[[CaseFile, IncomingEvent[D]], Decision[CaseFile]]


def build_handlers(packs: Packs) -> Handlers:
    """The table of routing's handlers. Its `on_unhandled` takes invalid actions of units."""
    handlers = Handlers(on_unhandled=invalid_action)
    _on(handlers, packs, InquiryReceived, _received, fulfils="intake")
    _on(handlers, packs, InquiryAccepted, lambda file, e: facts.accepted(file, e.data))
    _on(handlers, packs, InquiryReplied, lambda file, e: facts.replied(file, e.event.causationid))
    _on(handlers, packs, InquiryRequestRefused, _request_refused)
    _on(handlers, packs, InquiryClosed, lambda file, e: facts.closed(file, e.data, e.effective))
    _on(handlers, packs, InquiryReopened, _reopened)
    _on(handlers, packs, InquiryErased, lambda file, e: facts.erased(file, e.effective))
    _on_actions(handlers, packs)
    return handlers


def _on(
    handlers: Handlers,
    packs: Packs,
    data_type: type[D],
    absorb: Absorb[D],
    *,
    fulfils: Kind | None = None,
) -> None:
    @handlers.on(data_type, fulfils=fulfils)
    async def handle(tx: Tx, events: list[IncomingEvent[D]]) -> Results:
        return await _absorb(tx, packs, events, absorb)


def _received(file: CaseFile, event: IncomingEvent[InquiryReceived]) -> Decision[CaseFile]:
    version, jurisdiction = event.event.policyversion, event.event.jurisdiction
    return facts.received(file, event.data, event.effective, version, jurisdiction)


def _request_refused(file: CaseFile, event: IncomingEvent[InquiryRequestRefused]) -> Decision[CaseFile]:
    return facts.request_refused(file, event.data, event.event.causationid)


def _reopened(file: CaseFile, event: IncomingEvent[InquiryReopened]) -> Decision[CaseFile]:
    note = event.words.text if isinstance(event.words, NoteWords) else None
    return facts.reopened(file, event.data, note)


async def _absorb(tx: Tx, packs: Packs, events: Sequence[IncomingEvent[D]], absorb: Absorb[D]) -> Results:
    """Absorbs one event per case; a case that it makes ready is dispatched in the same transaction."""
    files = await load_case_files(tx, packs, [event.subject for event in events])
    await packs.load(tx.connection, {event.event.policyversion for event in events})
    decisions = [absorb(files.get(e.subject) or CaseFile(e.subject), e) for e in events]
    brought = {e.subject: e.words for e in events if isinstance(e.words, InquiryWords)}
    words = brought or await _words_of_ready(tx, decisions)
    results: list[Fault | None] = []
    changed: list[CaseFile] = []
    for event, decision in zip(events, decisions, strict=True):
        try:
            changed.append(_carry_out(tx, packs, event, decision, words))
            _expect(tx, files.get(event.subject), decision.state)
        except PackNotHere as error:
            # Not permanent: the folder may be brought up to date while the key is parked.
            results.append(Fault(type(error).__name__, str(error)))
        else:
            results.append(None)
    await queries.save(tx.connection, changed, brought)
    return results


def _carry_out(
    tx: Tx,
    packs: Packs,
    event: IncomingEvent[EventData],
    absorbed: Decision[CaseFile],
    words: dict[str, InquiryWords],
) -> CaseFile:
    """Raises PackNotHere before anything is emitted."""
    file = absorbed.state
    pack = packs.of(file.policy_version)
    if not file.ready:
        return carry_out(tx, absorbed, pack, cause=event)[0]
    found = dispatch_by_catalogue(file, words.get(file.id), pack, catalogue_of(pack), event.effective)
    decision = Decision(found.state, (*absorbed.events, *found.events))
    return carry_out(tx, decision, pack, cause=event, actor=BY_RULE)[0]


def _expect(tx: Tx, before: CaseFile | None, after: CaseFile) -> None:
    """What the case waits for from inquiry after an event of inquiry."""
    if before is not None and before.proposal is not None and after.proposal is None:
        tx.fulfil(after.id, "answer")
    if after.received_at is None and after.phase != "erased":
        tx.expect(after.id, "intake")
    elif before is not None and before.received_at is None:
        tx.fulfil(after.id, "intake")


async def _words_of_ready(tx: Tx, decisions: Sequence[Decision[CaseFile]]) -> dict[str, InquiryWords]:
    ready = [decision.state.id for decision in decisions if decision.state.ready]
    return await queries.words(tx.connection, ready) if ready else {}


def _on_actions(handlers: Handlers, packs: Packs) -> None:
    async def act(tx: Tx, events: list[IncomingEvent[Any]]) -> Results:
        return await _act(tx, packs, events)

    handlers.on(SignAction)(act)
    handlers.on(ReplyAction)(act)
    handlers.on(ReturnAction)(act)
    handlers.on(InvalidAction)(_refuse_invalid)


async def _refuse_invalid(tx: Tx, events: list[IncomingEvent[InvalidAction]]) -> Results:
    orphans = [_orphan(event, event.data.action, event.data.rule, event.data.detail) for event in events]
    await refuse_later(tx, orphans)
    return [Refused()] * len(events)


async def _act(tx: Tx, packs: Packs, events: Sequence[IncomingEvent[Action]]) -> Results:
    """One action per case. One on a case that the unit has no part in is an orphan and refused later, as if
    there were no such case."""
    files = await load_case_files(tx, packs, [e.subject for e in events if is_id(e.subject)])
    changed: list[CaseFile] = []
    orphans: list[OrphanAction] = []
    results: list[Result] = []
    for event in events:
        file, unit = files.get(event.subject), _unit_of(event)
        if file is None or file.assignment(unit) is None:
            orphans.append(_orphan(event, event.id, NO_PART))
            results.append(Refused())
            continue
        pack = packs.of(file.policy_version)
        request = ActionRequest(unit, event.id, by_topic=True)
        decided = decide(file, request, event.data, event.effective)
        if isinstance(decided, Refusal):
            decision = refuse(file, request, decided, pack, tx.now)
            results.append(Refused())
        else:
            decision = decided
            results.append(None)
        changed.append(carry_out(tx, decision, pack, cause=event, actor=f"unit:{unit}")[0])
    await queries.save(tx.connection, changed)
    await refuse_later(tx, orphans)
    return results


def _orphan(
    event: IncomingEvent[EventData], action: str, rule: str, detail: str | None = None
) -> OrphanAction:
    return OrphanAction(_unit_of(event), action, rule, detail, event.effective)


def _unit_of(event: IncomingEvent[EventData]) -> str:
    unit = code_of(event.record.topic)
    assert unit is not None  # noqa: S101  (actions are read from units' topics alone)
    return unit
