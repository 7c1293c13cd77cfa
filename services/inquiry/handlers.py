"""Events in: what routing decides, and the replies that it proposes. Load, decide, store, emit."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from services.inquiry.domain.case import Case, Decision, Refusal
from services.inquiry.domain.decisions import Proposal, close_unevaluated, propose_reply
from services.inquiry.domain.facts import absorb
from services.inquiry.domain.timers import evaluation_is_open, mark_reached, reply_due
from services.inquiry.effects import Outcome, carry_out
from services.inquiry.queries import insert_steps, load_cases, store_holding
from shared.contracts.base import Text
from shared.contracts.inquiry import InquiryRequestRefused, ReplyWords
from shared.contracts.routing import (
    AssignmentReturned,
    AssignmentSigned,
    CaseDispatched,
    CaseTriaged,
    ReplyProposed,
)
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handlers
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx

ACTOR = "service:inquiry"
Decide = Callable[[Case, Pack, FiredTimer], Decision]


def build_handlers(policies: Packs) -> Handlers:
    """The table of what inquiry reads."""
    table = Handlers()
    for fact in (CaseDispatched, CaseTriaged, AssignmentSigned, AssignmentReturned):
        table.on(fact)(_absorb)

    @table.on(ReplyProposed)
    async def reply_proposed(tx: Tx, events: list[IncomingEvent[ReplyProposed]]) -> None:
        cases = await load_cases(tx.connection, [event.subject for event in events])
        packs = await _packs(policies, tx, cases)
        outcomes = []
        for event in events:
            case = cases[event.subject]
            pack = packs[event.subject]
            decision = propose_reply(case, pack, _proposal(event), tx.now)
            if isinstance(decision, Refusal):
                _refuse(tx, event, pack, decision)
            else:
                outcomes.append(
                    Outcome(decision, pack, event.event.actor or ACTOR, _acted(event), cause=event)
                )
        await carry_out(tx, outcomes)

    return table


def register_timers(policies: Packs, table: Timers) -> None:
    """Registers what the timers of a case do."""

    @table.on("reply_mark")
    async def mark(tx: Tx, fired: list[FiredTimer]) -> None:
        await _decide(
            tx,
            fired,
            lambda case, pack, one: mark_reached(case, pack, one.data["cycle"], one.data["percent"]),
        )

    @table.on("reply_due")
    async def due(tx: Tx, fired: list[FiredTimer]) -> None:
        await _decide(tx, fired, lambda case, _, one: reply_due(case, one.data["cycle"]))

    @table.on("evaluation_ends")
    async def evaluation_ends(tx: Tx, fired: list[FiredTimer]) -> None:
        await _decide(
            tx,
            fired,
            lambda case, _, one: (
                close_unevaluated(case, tx.now)
                if evaluation_is_open(case, one.data["cycle"])
                else Decision(case)
            ),
        )

    async def _decide(tx: Tx, fired: list[FiredTimer], decide: Decide) -> None:
        cases = await load_cases(tx.connection, [one.aggregate for one in fired])
        packs = await _packs(policies, tx, cases)
        decided = []
        for one in fired:
            case, pack = cases[one.aggregate], packs[one.aggregate]
            decided.append(Outcome(decide(case, pack, one), pack, ACTOR, one.due))
        await carry_out(tx, decided)


async def _absorb(tx: Tx, events: list[IncomingEvent[Any]]) -> None:
    cases = await load_cases(tx.connection, [event.subject for event in events])
    decided = [absorb(cases[event.subject], event.data) for event in events]
    await store_holding(tx, [decision.case for decision in decided])
    await insert_steps(
        tx,
        (
            (event.subject, event.event.time, step)
            for event, decision in zip(events, decided, strict=True)
            for step in decision.steps
        ),
    )


async def _packs(policies: Packs, tx: Tx, cases: dict[str, Case]) -> dict[str, Pack]:
    await policies.load(tx.connection, {case.policy_version for case in cases.values()})
    return {id_: policies.of(case.policy_version) for id_, case in cases.items()}


def _acted(event: IncomingEvent[ReplyProposed]) -> dt.datetime:
    # The unit's own act: routing took its effective time over from the action that it acts upon.
    return event.event.effectivetime or event.effective


def _proposal(event: IncomingEvent[ReplyProposed]) -> Proposal:
    words = event.words
    text: Text | None = words.text if isinstance(words, ReplyWords) else None
    return Proposal(event.data.unit, event.data.outcome, text, _acted(event))


def _refuse(tx: Tx, event: IncomingEvent[ReplyProposed], pack: Pack, refusal: Refusal) -> None:
    # A unit asks inquiry for nothing but this, so there is nothing else to be allowed.
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
