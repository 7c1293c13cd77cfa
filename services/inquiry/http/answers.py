"""The answers of the API and the pages: receipts, cases, refusals."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urlencode

import orjson
from starlette.responses import Response

from services.inquiry.commands import NoSuchCase, NotYours
from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.decisions import allowed_to_citizen, reopen_until
from services.inquiry.domain.states import State
from services.inquiry.domain.timeline import TimelineEntry, timeline
from services.inquiry.http.access import no_such_case, not_your_case
from services.inquiry.queries import CaseRecord, CaseSummary
from shared.decision import Refused
from shared.errors import Conflict
from shared.policy.model import Pack
from shared.web.keys import clash
from shared.web.problems import Problem

API = "/api/inquiry/v1"
RECEIPT_TYPE = "application/cloudevents+json"
Json = dict[str, Any]


def intake_answer(value: bytes, secret: Callable[[str], str]) -> Json:
    """The answer to an intake, made from the event as committed, so that every retry gets the same."""
    event = orjson.loads(value)
    data = event["data"]
    stated = data.get("deadline")
    return {
        "id": event["subject"],
        "number": data["number"],
        "secret": secret(event["subject"]),
        "sequence": int(event["sequence"]),
        "state": "accepted" if stated else "received",
        "deadline": stated and {**stated, "explanation": _explanation(event)},
        "receipt": {"event_id": event["id"], "value": value.decode(), "proof": proof(event["id"])},
        "track": "/track",
    }


def proof(event_id: str) -> str:
    """The address of the event's proof, which exists once a checkpoint covers the event."""
    return f"/log/proof/{event_id}"


def _explanation(event: Json) -> str:
    data = event["data"]
    query = _query(event["policyversion"], data["kind"], data["service_code"], data.get("urgent", False))
    return f"{API}/deadlines?{query}&start={quote_plus(event['effectivetime'])}"


@lru_cache(maxsize=2000)
def _query(version: str, kind: str, service_code: str, urgent: bool) -> str:
    """Kept, since quoting is a tenth of what an intake costs."""
    query = {"version": version, "kind": kind, "service_code": service_code, "urgent": str(urgent).lower()}
    return urlencode(query)


def explained(clock: ReplyClock, pack: Pack) -> Json:
    """A deadline with every step that led to it."""
    return {
        "start": clock.start,
        "due": clock.due,
        "day_zero": clock.day_zero,
        "amount": clock.amount,
        "day_count": clock.day_count,
        "policy_version": pack.version,
        "steps": [
            {"code": step.code, "facts": step.facts, "zh": step.zh, "en": step.en}
            for step in clock.explained(pack)
        ],
    }


def full_timeline(record: CaseRecord, steps: Sequence[TimelineEntry]) -> list[TimelineEntry]:
    """The timeline of a case from its intake on; `steps` are those after it."""
    stated = orjson.loads(record.value)["data"].get("deadline")
    first_due = dt.datetime.fromisoformat(stated["due"]) if stated else None
    return timeline(record.created, first_due, steps)


def whole_case(record: CaseRecord, steps: Sequence[TimelineEntry], pack: Pack, now: dt.datetime) -> Json:
    """All that the citizen may see of the case; `words` is null once it is erased.

    `pack` is the version that the case was accepted under.
    """
    case = record.case
    event = orjson.loads(record.value)
    return {
        **listed(record, readable=True),
        "cycle": case.cycle,
        "words": _words(record.words),
        "deadline": explained(case.clock, pack) if case.clock else None,
        "breached": case.breached,
        "co": case.co,
        "evaluate_until": case.evaluate_until,
        "reopen_until": reopen_until(case, pack) if case.state is State.CLOSED else None,
        "allowed": allowed_to_citizen(case, pack, now),
        "erased_at": case.erased_at,
        "original_time": record.original_time,
        "receipt": {"event_id": event["id"], "proof": proof(event["id"])},
        "timeline": [
            {"kind": entry.kind, "at": entry.at, "data": entry.data, "words": entry.words}
            for entry in full_timeline(record, steps)
        ],
    }


def listed(case: CaseSummary, *, readable: bool) -> Json:
    """A line of a list; `title` is null if the words are erased or not `readable` for the caller."""
    words = _words(case.words) if readable else None
    return {
        "id": case.id,
        "number": case.number,
        "state": case.state,
        "kind": case.kind,
        "service_code": case.service_code,
        "area": case.area,
        "visibility": case.visibility,
        "channel": case.channel,
        "urgent": case.urgent,
        "created": case.created,
        "due": case.due,
        "lead": case.lead,
        "title": words and words["title"],
    }


def receipt_file(record: CaseRecord) -> Response:
    """The receipt as a file: the event of the intake, byte for byte."""
    return Response(
        record.value,
        media_type=RECEIPT_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{record.number}.receipt.json"'},
    )


def _words(raw: bytes | None) -> Json | None:
    if raw is None:
        return None
    words: Json = orjson.loads(raw)
    words.pop("salt", None)
    return words


@contextmanager
def errors_as_problems() -> Iterator[None]:
    """Around a command: raises its error as the Problem that answers it. Other errors pass."""
    try:
        yield
    except (Conflict, NoSuchCase, NotYours) as error:
        raise problem_of(error) from error


def problem_of(error: Conflict | NoSuchCase | NotYours) -> Problem:
    """The answer to a command that could not be done: 409 with state and rule, 404, 403, or a key's 409."""
    match error:
        case Refused(refusal=refusal):
            return Problem(
                409,
                "not-now",
                "The case does not allow this now",
                f"It is {refusal.state}; the rule is {refusal.rule}.",
                state=refusal.state,
                rule=refusal.rule,
                allowed=list(refusal.allowed),
            )
        case NoSuchCase():
            return no_such_case()
        case NotYours():
            return not_your_case()
        case _:
            return clash(error)
