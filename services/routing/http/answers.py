"""What API and desks share: reading a case, and an answer or an error of a command as HTTP says it."""

import datetime as dt
from collections.abc import Awaitable
from zoneinfo import ZoneInfo

from services.routing import queries
from services.routing.commands import NoSuchCase, UnknownUnits
from services.routing.domain.visibility import reads_words
from services.routing.http.access import Reader
from services.routing.http.models import CaseView, Done, Explanation
from services.routing.policy import Policies
from shared.errors import Conflict
from shared.ids import is_id
from shared.policy.dispatch import Match
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer
from shared.web.keys import clash
from shared.web.pagination import read_cursor
from shared.web.problems import Problem

Place = tuple[dt.datetime, str]


def case_id(text: str) -> str:
    """The id of a case in an address. Raises Problem 404 for what cannot be one."""
    if not is_id(text):
        raise _no_such_case()
    return text


def place_of(cursor: str | None) -> Place | None:
    """Where a page of a list begins: after this moment and id. Raises Problem 400."""
    parts = read_cursor(cursor, str, str)
    if parts is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(parts[0]).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Problem(
            400, "bad-cursor", "The cursor is not one of ours", "Begin the list again without `cursor`."
        ) from None
    return moment, parts[1]


async def existing_unit(database: Database, policies: Policies, who: Reader, unit: str) -> str:
    """The unit whose cases are listed, if there is one: the reader's own, one of the pack in force, or one
    that an earlier pack had and that has cases still. Raises Problem 404."""
    known = unit in who.acts_for or unit in policies.current.pack.departments_by_code
    if not known and not await queries.has_cases(database.pool, unit):
        raise Problem(
            404,
            "no-such-unit",
            "There is no such department",
            "GET /api/routing/v1/units lists the departments.",
        )
    return unit


async def case_view(database: Database, who: Reader, inquiry: str, unit: str | None) -> CaseView:
    """The case file for somebody who may see it, with as much as they may read. Raises Problem 404 or 403."""
    identifier = case_id(inquiry)
    async with database.pool.acquire() as connection:
        file = (await queries.case_files(connection, [identifier])).get(identifier)
        if file is None:
            raise _no_such_case()
        words = (await queries.words(connection, [identifier])).get(identifier)
    own = [one.unit for one in file.assignments if one.unit in who.acts_for]
    if not own and not who.sees_all:
        raise Problem(403, "not-your-case", "Your department does not hold this case")
    acting = unit if unit in own else next(iter(own), None)
    return CaseView.of(file, words, acting, readable=reads_words(file, who.acts_for, sees_all=who.sees_all))


async def answered(command: Awaitable[Answer]) -> Answer:
    """The command's answer, its errors as problems."""
    try:
        return await command
    except NoSuchCase:
        raise _no_such_case() from None
    except UnknownUnits as error:
        raise Problem(
            422,
            "invalid",
            "The request is understood but not valid",
            "GET /api/routing/v1/units lists the departments.",
            errors=[{"pointer": field, "detail": "there is no such department"} for field in error.fields],
        ) from None
    except Conflict as error:
        raise clash(error) from None


def done(answer: Answer) -> Done:
    """The body of a write that was done. Raises Problem 409 for one that the rules are against."""
    if answer.status == 409:
        body = answer.body
        raise Problem(
            409,
            "not-now",
            "The case does not allow this now",
            f"It is {body['state']}; the rule is {body['rule']}.",
            **body,
        )
    return Done.model_validate(answer.body)


def explain_dispatch(
    policies: Policies, service_code: str, area: str | None, now: dt.datetime
) -> Explanation:
    """What the catalogue in force says of a service and an area on the local day of `now`."""
    policy = policies.current
    on = now.astimezone(ZoneInfo(policy.pack.timezone)).date()
    found = policy.catalogue.match(service_code, area, on)
    told = Explanation(
        policy_version=policy.pack.version, service_code=service_code, area=area, on=on, reason="matched"
    )
    if not isinstance(found, Match):
        return told.model_copy(update={"reason": found.reason})
    row = next(row for row in policy.pack.catalogue if row.rule_id == found.rule_id)
    return told.model_copy(
        update={"lead": found.lead, "co": list(found.co), "rule": found.rule_id, "source": row.source}
    )


def _no_such_case() -> Problem:
    return Problem(404, "no-such-case", "There is no such case")
