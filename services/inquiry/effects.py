"""Carries out decisions: events to the outbox, alarms to timers, cases and steps to their tables."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.inquiry.domain.case import Decision, Said, Step
from services.inquiry.queries import insert_steps, store_cases
from shared.decision import TimerSpec
from shared.events.decoding import IncomingEvent
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Emitted, Tx


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision with what its events tell beside it. `acted` is when the act reached us."""

    decision: Decision
    pack: Pack
    actor: str
    acted: dt.datetime
    cause: IncomingEvent[Any] | None = None


async def carry_out(tx: Tx, outcomes: Iterable[Outcome]) -> list[Emitted]:
    """Writes all of them, at most one per case; the events in order, those of one case together."""
    emitted: list[Emitted] = []
    steps: list[tuple[str, dt.datetime, Step]] = []
    cases = []
    for outcome in outcomes:
        decision = outcome.decision
        inquiry = decision.case.id
        emitted += [_say(tx, outcome, said) for said in decision.said]
        tx.cancel(inquiry, *decision.silenced)
        for alarm in decision.alarms:
            tx.schedule(inquiry, TimerSpec(alarm.kind, alarm.due, alarm.data, alarm.is_deadline_check))
        steps += [(inquiry, outcome.acted, step) for step in decision.steps]
        if decision.said:
            cases.append(decision.case)
    await store_cases(tx, cases)
    await insert_steps(tx, steps)
    return emitted


def _say(tx: Tx, outcome: Outcome, said: Said) -> Emitted:
    return tx.emit(
        said.facts,
        subject=outcome.decision.case.id,
        words=said.words,
        cause=outcome.cause,
        actor=outcome.actor,
        effective=outcome.acted,
        policy=outcome.pack.version,
        jurisdiction=outcome.pack.jurisdiction,
    )
