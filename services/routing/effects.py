"""Loads case files with their packs, and carries out decisions about them."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from zoneinfo import ZoneInfo

from services.routing import queries
from services.routing.domain.case_file import CaseFile
from services.routing.domain.decisions import MOST_REFUSALS, ActionRequest, record_refusal
from services.routing.metrics import REFUSALS
from services.routing.policy import unit_has_topic
from shared.contracts.base import EventData
from shared.contracts.routing import CaseOffered, ReplyProposed
from shared.decision import Decision, PendingEvent, Refusal
from shared.events.decoding import IncomingEvent
from shared.logs import get_logger
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Emitted, Tx

_log = get_logger(__name__)

BY_RULE = "service:routing"
"""The actor of events that the catalogue decides."""


async def load_case_files(tx: Tx, packs: Packs, ids: Iterable[str]) -> dict[str, CaseFile]:
    """The files that exist, by id. `packs.of` then knows their policy versions, unless one is nowhere."""
    files = await queries.case_files(tx.connection, list(ids))
    await packs.load(tx.connection, (file.policy_version for file in files.values()))
    return files


def refuse(
    file: CaseFile, request: ActionRequest, refused: Refusal, pack: Pack, now: dt.datetime
) -> Decision[CaseFile]:
    """The refusal of a unit that has or had a part in the case, counted by the days of the pack's place.

    `now` is that of the unit of work, since a unit may choose the time of its record.
    """
    day = now.astimezone(ZoneInfo(pack.timezone)).date()
    decision = record_refusal(file, request, refused, day)
    held = decision.state.assignment(request.unit)
    assert held is not None  # noqa: S101  (see record_refusal)
    REFUSALS.labels(request.unit, "event" if held.refusals <= MOST_REFUSALS else "counted").inc()
    if held.refusals == MOST_REFUSALS + 1:
        _log.warning("further refusals of this day are only counted", case=file.id, unit=request.unit)
    return decision


def carry_out(
    tx: Tx,
    decision: Decision[CaseFile],
    pack: Pack,
    *,
    cause: IncomingEvent[EventData] | None = None,
    actor: str | None = None,
) -> tuple[CaseFile, Emitted | None]:
    """Emits the events: the file to save, and the last event about the case, if there is one.

    `pack` is the version that the case lives under. Records go to units that have topics; the others see the
    case at their desk. A proposed reply gets the id of its request on the file.
    """
    file, last = decision.state, None
    for event in decision.events:
        if event.unit is not None and not unit_has_topic(pack, event.unit):
            continue
        emitted = _emit(tx, file, event, cause=cause, actor=actor, after=last)
        if isinstance(event.data, CaseOffered):
            tx.expect(file.id, "delivery", event.unit or "")
        elif isinstance(event.data, ReplyProposed):
            tx.expect(file.id, "answer")
        if event.unit is None:
            last = emitted
        if isinstance(event.data, ReplyProposed) and file.proposal is not None:
            file = replace(file, proposal=replace(file.proposal, id=emitted.id))
    return file, last


def _emit(
    tx: Tx,
    file: CaseFile,
    event: PendingEvent,
    *,
    cause: IncomingEvent[EventData] | None,
    actor: str | None,
    after: Emitted | None,
) -> Emitted:
    return tx.emit(
        event.data,
        subject=file.id,
        words=event.words,
        cause=cause,
        actor=actor,
        policy=file.policy_version,
        jurisdiction=file.jurisdiction,
        unit=event.unit,
        stated=event.stated,
        # Two units may act on one case under one action id.
        target=event.unit or actor or "",
        causation=after.id if event.unit is not None and after is not None else None,
    )
