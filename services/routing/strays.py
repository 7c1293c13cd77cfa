"""Actions on cases that nobody knows: refused by a timer, in the unit's own name.

The refusal's subject is the unit. Locking the unit for every action would put each into a round of its own,
so that a unit's thousand actions would be a thousand rounds; a timer locks it once for all that came.
"""

from collections.abc import Sequence

from services.routing import queries
from services.routing.domain.actions import Acting, Refusal, refuse
from services.routing.policy import Policies
from services.routing.queries import StrayAction
from shared.timers import Fired, Timers
from shared.transaction import Timer, Tx

KIND = "refuse_strays"


async def refuse_later(tx: Tx, strays: Sequence[StrayAction]) -> None:
    """Keeps them, and wakes the timer of each unit."""
    if not strays:
        return
    await queries.add_stray_actions(tx.connection, strays)
    for unit in {stray.unit for stray in strays}:
        tx.arm(Timer(unit, KIND, tx.now))


def register(timers: Timers, policies: Policies) -> None:
    """The timer that says the refusals."""

    @timers.on(KIND)
    async def say_refusals(tx: Tx, fired: list[Fired]) -> None:
        taken = await queries.take_stray_actions(tx.connection, [each.aggregate for each in fired])
        for stray in taken:
            acting = Acting(stray.unit, stray.action, policies.current.department_has_topic(stray.unit))
            last = None
            for said in refuse(acting, Refusal("unknown", stray.rule)):
                emitted = tx.emit(
                    said.facts,
                    subject=stray.unit,
                    actor=f"unit:{stray.unit}",
                    effective=stray.received_at,
                    unit=said.unit,
                    causation=last,
                )
                last = emitted.id
