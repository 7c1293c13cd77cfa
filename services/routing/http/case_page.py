"""Shared by both desks: a page with a list and a case beside it, and forms that act on the case."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.routing.commands import Sender
from services.routing.http.access import Access, key_scope
from services.routing.http.context import Context
from services.routing.http.deadlines import Deadlines, DisplayedCase
from services.routing.http.models import CaseView, ListedCase
from services.routing.http.names import Names
from shared.contracts.base import Code
from shared.ids import new_id
from shared.web.i18n import language_of
from shared.web.keys import keyed_form
from shared.web.state import web_state

ROWS = 50


class KeyedForm(BaseModel):
    """A form of a desk, with the key under which it counts once."""

    idempotency_key: Code

    def sender(self, request: Request, access: Access, unit: str | None = None) -> Sender:
        """The actor, and the request under the form's key; `unit` is the one that the actor acts for."""
        body = self.model_dump_json(exclude={"idempotency_key"}).encode()
        scope = key_scope(access.actor, unit)
        return Sender(access.actor, keyed_form(request, scope, self.idempotency_key, body))


async def render(
    request: Request,
    context: Context,
    template: str,
    *,
    rows: Sequence[ListedCase],
    case: CaseView | None,
    status: int,
    now: dt.datetime,
    **more: Any,
) -> Response:
    """The page: `more` is for this template, the rest for the templates of every desk."""
    cases: list[DisplayedCase] = [*rows]
    if case is not None:
        cases.append(case)
    language = language_of(request, web_state(request).settings.language)
    return context.pages.render(
        request,
        template,
        status=status,
        rows=rows,
        case=case,
        open_case=case is not None,
        idempotency_key=new_id(now),
        names=Names(context.packs.current, language),
        deadlines=await Deadlines.of(context.database.pool, context.packs, cases, now),
        now=now,
        **more,
    )
