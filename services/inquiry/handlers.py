"""Events in: what routing has decided, and the replies that it proposes. Load, decide, store, emit."""

import datetime as dt
from functools import partial
from typing import Any

from services.inquiry.domain.decisions import Proposal, propose_reply
from services.inquiry.domain.facts import absorb
from services.inquiry.domain.states import Stage
from services.inquiry.effects import ACTOR, Effect, carry_out
from services.inquiry.queries import insert_steps, load_cases, packs_of, store_holding
from shared.contracts.base import Text
from shared.contracts.inquiry import InquiryRequestRefused, ReplyWords
from shared.contracts.routing import (
    AssignmentReturned,
    AssignmentSigned,
    CaseDispatched,
    CaseTriaged,
    ReplyProposed,
)
from shared.decision import Refusal
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handlers
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Tx


def build_handlers(policies: Packs) -> Handlers:
    """The handlers of the events that inquiry reads. `policies` are used only when an event is handled."""
    handlers = Handlers()
    for fact in (CaseDispatched, CaseTriaged, AssignmentSigned, AssignmentReturned):
        handlers.on(fact)(on_routing_facts)
    handlers.on(ReplyProposed)(partial(on_reply_proposed, policies))
    return handlers


async def on_routing_facts(tx: Tx, events: list[IncomingEvent[Any]]) -> None:
    """Stores what routing has decided, at most one event per case."""
    cases = await load_cases(tx.connection, [event.subject for event in events])
    for case in cases.values():
        if case.attempt == 0:
            tx.fulfil(case.id, "dispatch")
        if case.stage is Stage.UNKNOWN:
            tx.expect(case.id, "intake")
    decided = [absorb(cases[event.subject], event.data) for event in events]
    await store_holding(tx.connection, [decision.state for decision in decided])
    await insert_steps(
        tx.connection,
        [
            (event.subject, event.event.time, step)
            for event, decision in zip(events, decided, strict=True)
            for step in decision.steps
        ],
    )


async def on_reply_proposed(policies: Packs, tx: Tx, events: list[IncomingEvent[ReplyProposed]]) -> None:
    """Decides on proposed replies, at most one per case; a refusal is an event to routing."""
    cases = await load_cases(tx.connection, [event.subject for event in events])
    packs = await packs_of(policies, tx.connection, cases)
    effects = []
    for event in events:
        case, pack = cases[event.subject], packs[event.subject]
        decision = propose_reply(case, pack, _proposal(event), tx.now)
        if isinstance(decision, Refusal):
            _emit_refusal(tx, event, pack, decision)
        else:
            actor = event.event.actor or ACTOR
            effects.append(Effect(decision, pack, actor, _acted(event), cause=event))
    await carry_out(tx, effects)


def _acted(event: IncomingEvent[ReplyProposed]) -> dt.datetime:
    # When the unit acted: routing copied the effective time from the action that it passes on.
    return event.event.effectivetime or event.effective


def _proposal(event: IncomingEvent[ReplyProposed]) -> Proposal:
    words = event.words
    text: Text | None = words.text if isinstance(words, ReplyWords) else None
    return Proposal(event.data.unit, event.data.outcome, text, _acted(event))


def _emit_refusal(tx: Tx, event: IncomingEvent[ReplyProposed], pack: Pack, refusal: Refusal) -> None:
    # Without `allowed`: a reply is the only thing that a unit asks of inquiry.
    tx.emit(
        InquiryRequestRefused(
            state=refusal.state,
            rule=refusal.rule,
            unit=event.data.unit,
            action=event.data.action,
        ),
        subject=event.subject,
        cause=event,
        actor=ACTOR,
        policy=pack.version,
        jurisdiction=pack.jurisdiction,
    )
