"""/clerk: what the rules did not accept, oldest first, with the case beside the list."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.commands import CaseCommands
from services.inquiry.domain.visibility import reads_words
from services.inquiry.http.access import Access
from services.inquiry.http.answers import listed, problem_of
from services.inquiry.http.bodies import AcceptForm
from services.inquiry.http.views import case_view, kind_name, name_of, reader_language
from services.inquiry.queries import QUERIES, case_of
from shared.errors import Conflict
from shared.web.bodies import blank_form, read_form
from shared.web.callers import require
from shared.web.keys import keyed_form
from shared.web.pages import Pages
from shared.web.pagination import page_of, query, read_cursor
from shared.web.problems import Problem
from shared.web.session import Person

_ROWS = 50
Clerk = Annotated[Person, Depends(require("clerk"))]


def clerk_pages(commands: CaseCommands, access: Access, pages: Pages) -> APIRouter:
    """The desk of a clerk (受理员)."""
    router = APIRouter(include_in_schema=False)
    pool, clock, policies = commands.database.pool, commands.database.clock, commands.policies

    @router.get("/clerk")
    async def desk(
        request: Request, clerk: Clerk, cursor: str | None = None, case: str | None = None
    ) -> Response:
        language, pack = reader_language(request), policies.current
        after = read_cursor(cursor, str)
        rows = await pool.fetch(QUERIES["list_to_accept"], after[0] if after else None, _ROWS + 1)
        page = page_of(rows, _ROWS, lambda row: (row["id"],))
        found = await access.find(case) if case else None
        view, now = None, clock.now()
        if found is not None:
            steps = await pool.fetch(QUERIES["read_steps"], found["id"])
            version = await policies.find(pool, case_of(found).policy_version)
            view = case_view(found, steps, version, language, now)
        return pages.render(
            request,
            "clerk.html",
            status=404 if case and found is None else 200,
            rows=[
                {
                    **listed(row, readable=reads_words(row["visibility"], clerk.roles)),
                    "kind": kind_name(pack, row["kind"], language),
                    "service": name_of(pack.services_by_code, row["service_code"], language),
                    "href": _desk(case=row["number"], cursor=cursor),
                }
                for row in page.items
            ],
            next=page.next and _desk(cursor=page.next),
            list_href=_desk(cursor=cursor),
            accept_href=found and f"/clerk/{found['number']}/accept{query(cursor=cursor)}",
            cursor=cursor,
            case=view,
            reading=blank_form(),
            sought=case or "",
            now=now,
            key=secrets.token_urlsafe(24),
        )

    @router.post("/clerk/{reference}/accept")
    async def accept(request: Request, reference: str, person: Clerk, cursor: str | None = None) -> Response:
        form = await read_form(request, AcceptForm)
        if form.value is None:
            raise Problem(422, "invalid", "The form is not complete")
        found = await access.get(reference)
        keyed = keyed_form(request, person.actor, form.value.idempotency_key, b"accept")
        try:
            await commands.accept(keyed, found["id"], person.actor)
        except Conflict as error:
            raise problem_of(error) from error
        return RedirectResponse(_desk(case=found["number"], cursor=cursor), 303)

    return router


def _desk(**place: str | None) -> str:
    """The desk's address: which case is open, and where its list begins."""
    return "/clerk" + query(**place)
