"""What callers are told: receipts, cases, refusals."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson

from services.inquiry.commands import NoSuchCase, NotYours
from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.decisions import allowed_to_citizen, reopen_until
from services.inquiry.domain.states import STATE, Holding, Stage, State
from services.inquiry.domain.timeline import TimelineEntry, timeline
from services.inquiry.http.access import no_such_case
from services.inquiry.queries import case_of
from shared.decision import Refused
from shared.errors import Conflict
from shared.policy.model import Pack
from shared.web.keys import clash
from shared.web.problems import Problem

Json = dict[str, Any]


def taken(value: bytes, secret: Callable[[str], str]) -> Json:
    """The answer to intake, from the event as committed: the same however often it is asked for."""
    event = orjson.loads(value)
    facts = event["data"]
    stated = facts.get("deadline")
    return {
        "id": event["subject"],
        "number": facts["number"],
        "secret": secret(event["subject"]),
        "sequence": int(event["sequence"]),
        "state": "accepted" if stated else "received",
        "deadline": stated and {**stated, "explanation": _explanation(event)},
        "receipt": {"event_id": event["id"], "value": value.decode(), "proof": proof(event["id"])},
        "track": "/track",
    }


def proof(event_id: str) -> str:
    """Where the log proves the event, once it is under a checkpoint."""
    return f"/log/proof/{event_id}"


def _explanation(event: Json) -> str:
    facts = event["data"]
    query = {
        "version": event["policyversion"],
        "kind": facts["kind"],
        "service_code": facts["service_code"],
        "urgent": str(facts.get("urgent", False)).lower(),
        "start": event["effectivetime"],
    }
    return "/api/inquiry/v1/deadlines?" + urlencode(query)


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


def story(found: asyncpg.Record, steps: Sequence[asyncpg.Record]) -> list[TimelineEntry]:
    """The timeline of a case from its rows."""
    stated = orjson.loads(found["value"])["data"].get("deadline")
    first_due = dt.datetime.fromisoformat(stated["due"]) if stated else None
    entries = (
        TimelineEntry(row["kind"], row["at"], orjson.loads(row["data"]), row["words"]) for row in steps
    )
    return timeline(found["created"], first_due, entries)


def whole_case(found: asyncpg.Record, steps: Sequence[asyncpg.Record], pack: Pack, now: dt.datetime) -> Json:
    """All that the citizen may see of the case; `words` is null once it is erased."""
    case = case_of(found)
    event = orjson.loads(found["value"])
    return {
        **listed(found, readable=True),
        "cycle": case.cycle,
        "words": _words(found["words"]),
        "deadline": explained(case.clock, pack) if case.clock else None,
        "breached": case.breached,
        "co": case.co,
        "evaluate_until": case.evaluate_until,
        "reopen_until": reopen_until(case, pack) if case.state is State.CLOSED else None,
        "allowed": allowed_to_citizen(case, pack, now),
        "erased_at": case.erased_at,
        "original_time": found["original_time"],
        "receipt": {"event_id": event["id"], "proof": proof(event["id"])},
        "timeline": [
            {"kind": entry.kind, "at": entry.at, "data": entry.data, "words": entry.words}
            for entry in story(found, steps)
        ],
    }


def listed(found: asyncpg.Record, *, readable: bool) -> Json:
    """A line of a list; `title` is null where it is erased, or secret and not for this reader."""
    words = _words(found["words"]) if readable else None
    return {
        "id": found["id"],
        "number": found["number"],
        "state": STATE[Stage(found["stage"]), Holding(found["holding"])],
        "kind": found["kind"],
        "service_code": found["service_code"],
        "area": found["area"],
        "visibility": found["visibility"],
        "channel": found["channel"],
        "urgent": found["urgent"],
        "created": found["created"],
        "due": found["due"],
        "lead": found["lead"],
        "title": words and words["title"],
    }


def _words(raw: bytes | None) -> Json | None:
    if raw is None:
        return None
    words: Json = orjson.loads(raw)
    words.pop("salt", None)
    return words


def problem_of(error: Conflict) -> Problem:
    """What a command that lost is told. The page of it says what to do."""
    match error:
        case Refused():
            refusal = error.refusal
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
            return Problem(403, "not-your-case", "Your unit does not hold this case")
        case _:
            return clash(error)
