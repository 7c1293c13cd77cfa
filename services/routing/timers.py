"""Timers in: the refusals of orphan actions."""

from dataclasses import replace

from services.routing import queries
from services.routing.domain.decisions import ActionRequest, refusal_events, refused_result
from services.routing.metrics import REFUSALS
from services.routing.orphan_actions import NO_PART, REFUSE_ORPHANS
from services.routing.policy import unit_has_topic
from services.routing.queries import OrphanAction
from shared.decision import PendingEvent, Refusal
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx

_BEFORE_NO_PART = "unknown_case"
"""As a release before 2026-12 stored an action on a case that does not exist."""


def register_timers(timers: Timers, packs: Packs) -> None:
    """Registers routing's only timer: the aggregate is a unit."""

    @timers.on(REFUSE_ORPHANS)
    async def refuse_orphans(tx: Tx, fired: list[FiredTimer]) -> None:
        units = [timer.aggregate for timer in fired]
        for orphan in await queries.take_orphan_actions(tx.connection, units):
            _refuse(tx, packs.current, orphan)


def _refuse(tx: Tx, pack: Pack, orphan: OrphanAction) -> None:
    """An event with the unit as subject; where the unit has a topic, the result follows from it.

    Only the result for a case that is not the unit's: strangers write nothing into the public log.
    """
    has_topic = unit_has_topic(pack, orphan.unit)
    request = ActionRequest(orphan.unit, orphan.action, has_topic)
    refused = Refusal("unknown", orphan.rule, detail=orphan.detail)
    if orphan.rule in (NO_PART, _BEFORE_NO_PART):
        REFUSALS.labels(orphan.unit, "no_part").inc()
        answer = refused_result(request, replace(refused, rule=NO_PART), stated=False)
        events: tuple[PendingEvent, ...] = (answer,) if has_topic else ()
    else:
        REFUSALS.labels(orphan.unit, "event").inc()
        events = refusal_events(request, refused)
    event_id = None
    for event in events:
        emitted = tx.emit(
            event.data,
            subject=orphan.unit,
            actor=f"unit:{orphan.unit}",
            effective=orphan.received_at,
            unit=event.unit,
            stated=event.stated,
            causation=event_id,
        )
        event_id = emitted.id
