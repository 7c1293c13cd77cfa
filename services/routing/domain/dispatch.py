"""Dispatch (派单): by the catalogue, or by a dispatcher's decision."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal
from zoneinfo import ZoneInfo

from services.routing.domain.case_file import Assignment, CaseFile, Outcome, Said
from shared.contracts.inquiry import InquiryWords
from shared.contracts.routing import CaseDispatched, CaseOffered, CaseTriaged, CaseWithdrawn, TriageReason
from shared.policy.deadlines import clock_deadline
from shared.policy.dispatch import Catalogue, Match
from shared.policy.model import Pack

BY_DISPATCHER = "dispatcher"
"""The `rule` of a case that a person placed."""


def place(
    file: CaseFile, words: InquiryWords | None, pack: Pack, catalogue: Catalogue, at: dt.datetime
) -> Outcome:
    """Dispatches a `ready` file by the catalogue of its pack version, or puts it into triage.

    The row must be in force on the local day of `at`, the effective time of what made the file ready.
    """
    assert file.service_code is not None  # noqa: S101  (a ready file has all parts)
    found = catalogue.match(file.service_code, file.area, at.astimezone(ZoneInfo(pack.timezone)).date())
    if isinstance(found, Match):
        return dispatch(file, words, pack, found, at, by="rule")
    return triage(file, "unknown_service" if found.reason == "unknown_service" else "no_rule", at)


def triage(file: CaseFile, reason: TriageReason, at: dt.datetime) -> Outcome:
    """A dispatcher has to place it."""
    after = replace(file, placement="triage", triage_reason=reason, triaged_at=at, lead=None, sign_due=None)
    return Outcome(after, (Said(CaseTriaged(reason=reason, hint=file.hint, attempt=file.attempt)),))


def dispatch(
    file: CaseFile,
    words: InquiryWords | None,
    pack: Pack,
    match: Match,
    at: dt.datetime,
    *,
    by: Literal["rule", "dispatcher"],
) -> Outcome:
    """Offers the case to its lead and co-handlers and takes it from whoever else still holds it."""
    sign_due = clock_deadline(pack, "sign", file.urgent, at).due
    attempt = file.attempt + 1
    units = {match.lead, *match.co}
    kept = tuple(
        one.end("released", at) if one.live else one for one in file.assignments if one.unit not in units
    )
    offered = (
        Assignment(match.lead, "lead", "offered", attempt, at),
        *(Assignment(unit, "co", "offered", attempt, at) for unit in match.co),
    )
    after = replace(
        file,
        placement="offered",
        attempt=attempt,
        lead=match.lead,
        rule=match.rule_id,
        triage_reason=None,
        triaged_at=None,
        sign_due=sign_due,
        reply_refused=None,
        assignments=(*kept, *offered),
    )
    dispatched = CaseDispatched(
        lead=match.lead,
        co=match.co,
        rule=match.rule_id,
        attempt=attempt,
        sign_due=sign_due,
        by=by,
        notify=file.notify,
    )
    released = (one.unit for one in file.live_assignments() if one.unit not in units)
    return Outcome(
        after,
        (
            Said(dispatched),
            *_withdrawals(file, released),
            *(Said(_offer(after, one, words, match.co), unit=one.unit) for one in offered),
        ),
    )


def _withdrawals(file: CaseFile, units: Iterable[str]) -> Iterable[Said]:
    record = CaseWithdrawn(number=file.number or "", reason="redispatched")
    return (Said(record, unit=unit) for unit in units)


def _offer(
    file: CaseFile, assignment: Assignment, words: InquiryWords | None, co: tuple[str, ...]
) -> CaseOffered:
    # Every part is there: only a ready file, or one that was ready once, is dispatched.
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
