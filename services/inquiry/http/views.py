"""The data of the pages in the reader's language: names for the pack's codes, the timeline for display."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import orjson
from starlette.requests import Request

from services.inquiry.domain.states import State
from services.inquiry.domain.timeline import TimelineEntry
from services.inquiry.http.answers import full_timeline
from services.inquiry.queries import CaseRecord
from shared.contracts.inquiry import InquiryWords
from shared.policy.model import Pack
from shared.policy.remaining import time_remaining
from shared.policy.tables import Named
from shared.web.i18n import language_of
from shared.web.state import web_state

Language = Literal["zh", "en"]
Choice = tuple[str, str]

TONES = {
    State.RECEIVED: "info",
    State.ACCEPTED: "info",
    State.DISPATCHED: "info",
    State.IN_PROGRESS: "info",
    State.REPLIED: "warn",
    State.CLOSED: "good",
}
_NEXT_EVENT = {
    State.RECEIVED: "accept",
    State.ACCEPTED: "dispatch",
    State.DISPATCHED: "sign",
    State.IN_PROGRESS: "reply",
    State.REPLIED: "evaluate",
}


def reader_language(request: Request) -> Language:
    """The language of the page."""
    return "zh" if language_of(request, web_state(request).settings.language) == "zh" else "en"


def name_of(table: Mapping[str, Named], code: str | None, language: Language) -> str:
    """The name of a code, or the code itself where this version of the pack does not have it; "" for None."""
    if code is None:
        return ""
    row = table.get(code)
    return row.in_language(language) if row is not None else code


def service_groups(pack: Pack, language: Language) -> list[tuple[str, list[Choice]]]:
    """The services that are offered, by group: (group, [(code, name)]), in the order of the pack."""
    offered = [service for service in pack.services if service.active]
    order = {service.group: index for index, service in reversed(list(enumerate(offered)))}
    offered.sort(key=lambda service: order[service.group])
    groups = [list(services) for _, services in groupby(offered, key=lambda service: service.group)]
    return [
        (
            services[0].group_in(language),
            [(service.service_code, service.in_language(language)) for service in services],
        )
        for services in groups
    ]


def kind_choices(pack: Pack, language: Language) -> list[Choice]:
    """The kinds of concern: (code, name)."""
    return [(kind.code, kind_name(pack, kind.code, language)) for kind in pack.kinds]


def kind_name(pack: Pack, code: str, language: Language) -> str:
    """The name of a kind, or its code."""
    kind = pack.kinds_by_code.get(code)
    if kind is None:
        return code
    return kind.title.zh if language == "zh" else kind.title.en


def case_view(
    record: CaseRecord,
    steps: Sequence[TimelineEntry],
    pack: Pack,
    language: Language,
    now: dt.datetime,
) -> dict[str, Any]:
    """A case for the pages about it; `pack` is the version that the case was accepted under."""
    case = record.case
    words = InquiryWords.model_validate_json(record.words) if record.words is not None else None
    event = orjson.loads(record.value)
    entries = [_entry(entry, pack, language) for entry in full_timeline(record, steps)]
    answers = [entry for entry in entries if entry["kind"] == "replied"]
    return {
        "id": case.id,
        "number": record.number,
        "state": case.state,
        "tone": TONES[case.state],
        "kind": kind_name(pack, record.kind, language),
        "service": name_of(pack.services_by_code, record.service_code, language),
        "area": name_of(pack.areas_by_code, record.area, language),
        "visibility": record.visibility,
        "urgent": record.urgent,
        "channel": record.channel,
        "created": record.created,
        "original_time": record.original_time,
        "words": words,
        "erased": case.erased_at is not None,
        "has_contact": case.erased_at is None and event["data"].get("has_contact", False),
        "due": case.clock and case.clock.due,
        "left": case.clock and time_remaining(pack.calendar, case.clock.day_count, case.clock.due, now),
        "why": [step.text(language) for step in case.clock.explained(pack)] if case.clock else [],
        "breached": case.breached,
        "lead": name_of(pack.departments_by_code, case.lead, language),
        "evaluate_until": case.evaluate_until,
        "evaluate_left": case.evaluate_until
        and time_remaining(
            pack.calendar, pack.kind(record.kind).evaluation.day_count, case.evaluate_until, now
        ),
        "event_id": event["id"],
        "answer": answers[-1] if answers and case.state in (State.REPLIED, State.CLOSED) else None,
        "entries": entries,
        "comes": _NEXT_EVENT.get(case.state),
    }


def _entry(entry: TimelineEntry, pack: Pack, language: Language) -> dict[str, Any]:
    units, data = pack.departments_by_code, entry.data
    due = data.get("due")
    co = [name_of(units, code, language) for code in data.get("co", ())]
    return {
        "kind": entry.kind,
        "variant": data.get("outcome") or data.get("role") or "",
        "at": entry.at,
        "words": entry.words,
        "due": dt.datetime.fromisoformat(due) if due else None,
        "unit": name_of(units, data.get("lead") or data.get("unit"), language),
        "co": ("、" if language == "zh" else ", ").join(co),
        "reason": data.get("reason"),
        "solved": data.get("solved"),
        "rating": data.get("rating"),
    }
