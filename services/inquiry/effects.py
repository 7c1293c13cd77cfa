"""Carries decisions out: events to the outbox, timers, and the rows of cases and timelines."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.inquiry.domain.case import CaseDecision, TimelineStep
from services.inquiry.queries import insert_steps, store_cases
from shared.contracts.inquiry import InquiryAccepted
from shared.decision import PendingEvent
from shared.events.decoding import IncomingEvent
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Emitted, Tx

ACTOR = "service:inquiry"
"""The actor of what the service decides by itself."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A decision to carry out, and what its events name besides their data.

    `acted` is when the act reached us: the effective time of the events and the time of the steps.
    """

    decision: CaseDecision
    pack: Pack
    actor: str
    acted: dt.datetime
    cause: IncomingEvent[Any] | None = None


async def carry_out(tx: Tx, effects: Iterable[Effect]) -> list[Emitted]:
    """Writes all of them, at most one per case. Returns the events in order, those of one case together.

    Raises EventTooLarge.
    """
    emitted: list[Emitted] = []
    steps: list[tuple[str, dt.datetime, TimelineStep]] = []
    cases = []
    for effect in effects:
        decision = effect.decision
        inquiry = decision.state.id
        emitted += [_emit(tx, effect, event) for event in decision.events]
        if decision.state.attempt == 0 and any(
            isinstance(event.data, InquiryAccepted) for event in decision.events
        ):
            tx.expect(inquiry, "dispatch")
        tx.cancel(inquiry, *decision.cancelled)
        for timer in decision.timers:
            tx.schedule(inquiry, timer)
        steps += [(inquiry, effect.acted, step) for step in decision.steps]
        if decision.events:
            cases.append(decision.state)
    await store_cases(tx.connection, cases)
    await insert_steps(tx.connection, steps)
    return emitted


def _emit(tx: Tx, effect: Effect, event: PendingEvent) -> Emitted:
    return tx.emit(
        event.data,
        subject=effect.decision.state.id,
        words=event.words,
        cause=effect.cause,
        actor=effect.actor,
        effective=effect.acted,
        policy=effect.pack.version,
        jurisdiction=effect.pack.jurisdiction,
    )
