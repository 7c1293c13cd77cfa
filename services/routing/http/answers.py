"""Shared by API and pages: reading a case, and answers and errors of commands in HTTP."""

import datetime as dt
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from services.routing import queries
from services.routing.commands import NoSuchCase, NotYours, UnknownUnits
from services.routing.domain.visibility import reads_words
from services.routing.http.access import Access
from services.routing.http.context import Context
from services.routing.http.models import CaseView, Done, Explanation
from services.routing.policy import catalogue_of
from services.routing.queries import Cursor
from shared.errors import Conflict
from shared.ids import is_id
from shared.policy.dispatch import Match
from shared.policy.model import Pack
from shared.unit_of_work.idempotency import Answer
from shared.web.keys import clash
from shared.web.pagination import Page, page_of, read_cursor
from shared.web.problems import Problem


class _HasCursor(Protocol):
    @property
    def cursor(self) -> Cursor: ...


Row = TypeVar("Row", bound=_HasCursor)


def case_id(text: str) -> str:
    """The id of a case in a URL. Raises Problem 404 for text that cannot be one."""
    if not is_id(text):
        raise _no_such_case()
    return text


def parse_cursor(cursor: str | None) -> Cursor | None:
    """A cursor of `page_of_rows` in a URL; None for the first page. Raises Problem 400."""
    parts = read_cursor(cursor, str, str)
    if parts is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(parts[0]).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Problem(
            400, "bad-cursor", "The cursor is not one of ours", "Begin the list again without `cursor`."
        ) from None
    return Cursor(moment, parts[1])


def page_of_rows(rows: Sequence[Row], limit: int) -> Page[Row]:
    """The page made of a query that asked for `limit + 1` rows, with the cursor of the next one."""
    return page_of(rows, limit, lambda row: (row.cursor.moment.isoformat(), row.cursor.id))


async def existing_unit(context: Context, access: Access, unit: str) -> str:
    """`unit`, if there is one to list cases of: the caller's own, one of the pack in force, or one of an
    earlier pack that still has cases. Raises Problem 404."""
    known = unit in access.acts_for or unit in context.packs.current.departments_by_code
    if not known and not await queries.has_cases(context.database.pool, unit):
        raise Problem(
            404,
            "no-such-unit",
            "There is no such department",
            "GET /api/routing/v1/units lists the departments.",
        )
    return unit


async def case_view(context: Context, access: Access, inquiry: str, unit: str | None = None) -> CaseView:
    """The case file, with as much as the caller may read.

    Raises Problem 403 if they may see nothing, whether there is such a case or not; else 404 for none.

    `unit`: for which of the caller's units `allowed` is computed; without it, the first that has a part.
    """
    identifier = case_id(inquiry)
    async with context.database.pool.acquire() as connection:
        file = (await queries.case_files(connection, [identifier])).get(identifier)
        if file is None:
            raise _no_such_case() if access.sees_all else _not_your_case()
        words = (await queries.words(connection, [identifier])).get(identifier)
    own = [one.unit for one in file.assignments if one.unit in access.acts_for]
    if not own and not access.sees_all:
        raise _not_your_case()
    acting = unit if unit in own else next(iter(own), None)
    return CaseView.of(
        file, words, acting, readable=reads_words(file, access.acts_for, sees_all=access.sees_all)
    )


async def answered(command: Awaitable[Answer]) -> Answer:
    """The command's answer. Raises its errors as Problem 403, 404, 409 or 422."""
    try:
        return await command
    except NotYours:
        raise _not_your_case() from None
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
    """The body of a write that was done. Raises Problem 409 for one that the rules forbid."""
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


def explain_dispatch(pack: Pack, service_code: str, area: str | None, now: dt.datetime) -> Explanation:
    """Where the pack's catalogue sends a service and an area on the local day of `now`, and why."""
    on = now.astimezone(ZoneInfo(pack.timezone)).date()
    found = catalogue_of(pack).match(service_code, area, on)
    explanation = Explanation(
        policy_version=pack.version, service_code=service_code, area=area, on=on, reason="matched"
    )
    if not isinstance(found, Match):
        return explanation.model_copy(update={"reason": found.reason})
    row = next(row for row in pack.catalogue if row.rule_id == found.rule_id)
    return explanation.model_copy(
        update={"lead": found.lead, "co": list(found.co), "rule": found.rule_id, "source": row.source}
    )


def _not_your_case() -> Problem:
    return Problem(403, "not-your-case", "Your department does not hold this case")


def _no_such_case() -> Problem:
    return Problem(404, "no-such-case", "There is no such case")
