"""Dispatch (派单): by the catalogue, or by a dispatcher; triage when neither has decided."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal
from zoneinfo import ZoneInfo

from services.routing.domain.case_file import Assignment, CaseFile
from shared.contracts.inquiry import InquiryWords
from shared.contracts.routing import (
    CaseDispatched,
    CaseOffered,
    CaseTriaged,
    CaseWithdrawn,
    Role,
    TriageReason,
)
from shared.decision import Decision, PendingEvent, Refusal
from shared.policy.deadlines import clock_deadline
from shared.policy.dispatch import Catalogue, Match
from shared.policy.model import Pack

BY_DISPATCHER = "dispatcher"
"""The `rule` of a case that a person dispatched."""


def dispatch_by_catalogue(
    file: CaseFile, words: InquiryWords | None, pack: Pack, catalogue: Catalogue, at: dt.datetime
) -> Decision[CaseFile]:
    """Dispatches a `ready` file by the catalogue of its pack version, or puts it into triage.

    The catalogue's row must be in force on the local day of `at`, the effective time of the event that made
    the file ready.
    """
    assert file.service_code is not None  # noqa: S101  (a ready file has all parts)
    found = catalogue.match(file.service_code, file.area, at.astimezone(ZoneInfo(pack.timezone)).date())
    if isinstance(found, Match):
        return _dispatch(file, words, pack, found, at, by="rule")
    return triage(file, "unknown_service" if found.reason == "unknown_service" else "no_rule", at)


def dispatch_by_hand(
    file: CaseFile,
    words: InquiryWords | None,
    pack: Pack,
    at: dt.datetime,
    *,
    lead: str,
    co: tuple[str, ...],
) -> Decision[CaseFile] | Refusal:
    """Dispatches a case in triage to the units that a dispatcher names; they must be in the pack."""
    if file.state != "triage":
        return Refusal(file.state, "not_in_triage")
    return _dispatch(file, words, pack, Match(lead, co, BY_DISPATCHER), at, by="dispatcher")


def triage(file: CaseFile, reason: TriageReason, at: dt.datetime) -> Decision[CaseFile]:
    """Puts the case into the dispatchers' queue."""
    after = replace(
        file, dispatch_state="triage", triage_reason=reason, triaged_at=at, lead=None, sign_due=None
    )
    return Decision(after, (PendingEvent(CaseTriaged(reason=reason, hint=file.hint, attempt=file.attempt)),))


def _dispatch(
    file: CaseFile,
    words: InquiryWords | None,
    pack: Pack,
    match: Match,
    at: dt.datetime,
    *,
    by: Literal["rule", "dispatcher"],
) -> Decision[CaseFile]:
    """Offers the case to lead and co-handlers and withdraws it from all other units that still hold it."""
    units = {match.lead, *match.co}
    after = _offered(file, match, clock_deadline(pack, "sign", file.urgent, at).due, at)
    dispatched = CaseDispatched(
        lead=match.lead,
        co=match.co,
        rule=match.rule_id,
        attempt=after.attempt,
        sign_due=after.sign_due,
        by=by,
        notify=file.notify,
    )
    withdrawn = (one.unit for one in file.live_assignments() if one.unit not in units)
    offers = (
        PendingEvent(offer_of(after, one, words, match.co), unit=one.unit)
        for one in after.assignments
        if one.unit in units
    )
    return Decision(after, (PendingEvent(dispatched), *_withdrawals(file, withdrawn), *offers))


def _offered(file: CaseFile, match: Match, sign_due: dt.datetime, at: dt.datetime) -> CaseFile:
    attempt = file.attempt + 1
    units = {match.lead, *match.co}
    kept = (one.end("released", at) if one.live else one for one in file.assignments if one.unit not in units)
    return replace(
        file,
        dispatch_state="offered",
        attempt=attempt,
        lead=match.lead,
        rule=match.rule_id,
        triage_reason=None,
        triaged_at=None,
        sign_due=sign_due,
        reply_refused=None,
        assignments=(
            *kept,
            _offer(file, match.lead, "lead", at),
            *(_offer(file, unit, "co", at) for unit in match.co),
        ),
    )


def _offer(file: CaseFile, unit: str, role: Role, at: dt.datetime) -> Assignment:
    """A new part in the case; what the unit was refused today still counts."""
    new = Assignment(unit, role, "offered", file.attempt + 1, at)
    before = file.assignment(unit)
    return replace(new, refused_on=before.refused_on, refusals=before.refusals) if before else new


def _withdrawals(file: CaseFile, units: Iterable[str]) -> Iterable[PendingEvent]:
    record = CaseWithdrawn(number=file.number or "", reason="redispatched")
    return (PendingEvent(record, unit=unit) for unit in units)


def offer_of(
    file: CaseFile, assignment: Assignment, words: InquiryWords | None, co: tuple[str, ...]
) -> CaseOffered:
    """The record that offers a dispatched case to a unit; `co` are its co-handlers."""
    # Every part is there: only a file that is or was ready is dispatched.
    return CaseOffered(
        number=file.number,
        role=assignment.role,
        lead=file.lead,
        co=co,
        kind=file.kind,
        service_code=file.service_code,
        area=file.area,
        visibility=file.visibility,
        urgent=file.urgent,
        reply_due=file.reply_due,
        sign_due=file.sign_due,
        attempt=assignment.attempt,
        words=words,
    )
