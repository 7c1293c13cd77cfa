"""Timers in: the refusals of orphan actions."""

from services.routing import queries
from services.routing.domain.decisions import ActionRequest, refusal_events
from services.routing.orphan_actions import REFUSE_ORPHANS
from services.routing.policy import unit_has_topic
from services.routing.queries import OrphanAction
from shared.decision import Refusal
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx


def register_timers(timers: Timers, packs: Packs) -> None:
    """Registers routing's only timer: the aggregate is a unit."""

    @timers.on(REFUSE_ORPHANS)
    async def refuse_orphans(tx: Tx, fired: list[FiredTimer]) -> None:
        units = [timer.aggregate for timer in fired]
        for orphan in await queries.take_orphan_actions(tx.connection, units):
            _refuse(tx, packs.current, orphan)


def _refuse(tx: Tx, pack: Pack, orphan: OrphanAction) -> None:
    """An event with the unit as subject; where the unit has a topic, the result follows from it."""
    request = ActionRequest(orphan.unit, orphan.action, unit_has_topic(pack, orphan.unit))
    event_id = None
    for event in refusal_events(request, Refusal("unknown", orphan.rule, detail=orphan.detail)):
        emitted = tx.emit(
            event.data,
            subject=orphan.unit,
            actor=f"unit:{orphan.unit}",
            effective=orphan.received_at,
            unit=event.unit,
            causation=event_id,
        )
        event_id = emitted.id
