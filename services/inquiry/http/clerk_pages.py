"""/clerk: the desk of a clerk (受理员), with what the rules did not accept, oldest first."""

import secrets

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.domain.visibility import reads_words
from services.inquiry.http.answers import errors_as_problems, listed
from services.inquiry.http.bodies import AcceptForm
from services.inquiry.http.context import Clerk, Ctx
from services.inquiry.http.views import case_view, kind_name, name_of, reader_language
from services.inquiry.queries import list_to_accept, read_steps
from shared.web.bodies import blank_form, read_form
from shared.web.keys import keyed_form
from shared.web.pagination import page_of, query, read_cursor
from shared.web.problems import Problem

router = APIRouter(include_in_schema=False)
_ROWS = 50


@router.get("/clerk")
async def desk(
    request: Request, ctx: Ctx, clerk: Clerk, cursor: str | None = None, case: str | None = None
) -> Response:
    """The list from `cursor` on, and the case with the number or id `case`."""
    pool, language, pack = ctx.database.pool, reader_language(request), ctx.policies.current
    after = read_cursor(cursor, str)
    waiting = await list_to_accept(pool, after[0] if after else None, _ROWS + 1)
    page = page_of(waiting, _ROWS, lambda row: (row.id,))
    record = await ctx.access.find(case) if case else None
    view, now = None, ctx.database.clock.now()
    if record is not None:
        steps = await read_steps(pool, record.id)
        version = await ctx.policies.find(pool, record.case.policy_version)
        view = case_view(record, steps, version, language, now)
    return ctx.pages.render(
        request,
        "clerk.html",
        status=404 if case and record is None else 200,
        rows=[
            {
                **listed(row, readable=reads_words(row.visibility, clerk.roles)),
                "kind": kind_name(pack, row.kind, language),
                "service": name_of(pack.services_by_code, row.service_code, language),
                "href": desk_href(case=row.number, cursor=cursor),
            }
            for row in page.items
        ],
        next=page.next and desk_href(cursor=page.next),
        list_href=desk_href(cursor=cursor),
        accept_href=record and f"/clerk/{record.number}/accept{query(cursor=cursor)}",
        cursor=cursor,
        case=view,
        reading=blank_form(),
        sought=case or "",
        now=now,
        key=secrets.token_urlsafe(24),
    )


@router.post("/clerk/{reference}/accept")
async def accept(
    request: Request, ctx: Ctx, reference: str, person: Clerk, cursor: str | None = None
) -> Response:
    """Accepts the case and shows it, at the same place of the list."""
    form = await read_form(request, AcceptForm)
    if form.value is None:
        raise Problem(422, "invalid", "The form is not complete")
    record = await ctx.access.get(reference)
    key = keyed_form(request, person.actor, form.value.idempotency_key, b"accept")
    with errors_as_problems():
        await ctx.commands.accept(key, record.id, person.actor)
    return RedirectResponse(desk_href(case=record.number, cursor=cursor), 303)


def desk_href(**parameters: str | None) -> str:
    """The desk's address: `case` is the case that is open, `cursor` where the list begins."""
    return "/clerk" + query(**parameters)
