"""Timers in: the marks and the due time of the reply clock, the end of the evaluation window."""

import datetime as dt
from collections.abc import Callable
from functools import partial

from services.inquiry.domain.case import Case, CaseDecision
from services.inquiry.domain.timers import evaluation_ends, mark_reached, reply_due
from services.inquiry.effects import ACTOR, Effect, carry_out
from services.inquiry.queries import load_cases, packs_of
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx

Decide = Callable[[Case, Pack, FiredTimer, dt.datetime], CaseDecision]
DECISIONS: dict[str, Decide] = {
    "reply_mark": lambda case, pack, timer, _: mark_reached(
        case, pack, timer.data["cycle"], timer.data["percent"]
    ),
    "reply_due": lambda case, _, timer, __: reply_due(case, timer.data["cycle"]),
    "evaluation_ends": lambda case, _, timer, now: evaluation_ends(case, timer.data["cycle"], now),
}
"""What each kind of timer does to a case. The data of a timer names its round (`cycle`)."""


def register_timers(policies: Packs, timers: Timers) -> None:
    """Registers every kind of timer of inquiry."""
    for kind, decide in DECISIONS.items():
        timers.on(kind)(partial(on_timers, policies, decide))


async def on_timers(policies: Packs, decide: Decide, tx: Tx, fired: list[FiredTimer]) -> None:
    """Decides on timers of one kind, at most one per case; they act at their due time."""
    cases = await load_cases(tx.connection, [timer.aggregate for timer in fired])
    packs = await packs_of(policies, tx.connection, cases)
    effects = []
    for timer in fired:
        case, pack = cases[timer.aggregate], packs[timer.aggregate]
        effects.append(Effect(decide(case, pack, timer, tx.now), pack, ACTOR, timer.due))
    await carry_out(tx, effects)
