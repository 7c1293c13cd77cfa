"""Timers in: the marks and the due time of the reply clock, the end of the evaluation window."""

from collections.abc import Callable

from services.inquiry.domain.case import Case, CaseDecision
from services.inquiry.domain.timers import evaluation_ends, mark_reached, reply_due
from services.inquiry.effects import ACTOR, Effect, carry_out
from services.inquiry.queries import load_cases, packs_of
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx

Decide = Callable[[Case, Pack, FiredTimer], CaseDecision]


def register_timers(policies: Packs, timers: Timers) -> None:
    """Registers what each kind of timer does; the data of each names the round (`cycle`) it belongs to."""

    @timers.on("reply_mark")
    async def on_mark(tx: Tx, fired: list[FiredTimer]) -> None:
        def decide(case: Case, pack: Pack, timer: FiredTimer) -> CaseDecision:
            return mark_reached(case, pack, timer.data["cycle"], timer.data["percent"])

        await _decide(policies, tx, fired, decide)

    @timers.on("reply_due")
    async def on_due(tx: Tx, fired: list[FiredTimer]) -> None:
        def decide(case: Case, _: Pack, timer: FiredTimer) -> CaseDecision:
            return reply_due(case, timer.data["cycle"])

        await _decide(policies, tx, fired, decide)

    @timers.on("evaluation_ends")
    async def on_evaluation_end(tx: Tx, fired: list[FiredTimer]) -> None:
        def decide(case: Case, _: Pack, timer: FiredTimer) -> CaseDecision:
            return evaluation_ends(case, timer.data["cycle"], tx.now)

        await _decide(policies, tx, fired, decide)


async def _decide(policies: Packs, tx: Tx, fired: list[FiredTimer], decide: Decide) -> None:
    cases = await load_cases(tx.connection, [timer.aggregate for timer in fired])
    packs = await packs_of(policies, tx.connection, cases)
    effects = []
    for timer in fired:
        case, pack = cases[timer.aggregate], packs[timer.aggregate]
        effects.append(Effect(decide(case, pack, timer), pack, ACTOR, timer.due))
    await carry_out(tx, effects)
