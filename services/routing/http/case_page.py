"""What both desks are: a list with a case beside it, and forms that act on the case."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.routing.commands import Caller, Commands
from services.routing.http.access import Reader
from services.routing.http.deadlines import Case, Deadlines
from services.routing.http.models import CaseView, ListedCase
from services.routing.http.names import Names
from services.routing.policy import Policies
from shared.contracts.base import Code
from shared.ids import new_id
from shared.unit_of_work.database import Database
from shared.web.i18n import language_of
from shared.web.keys import keyed_form
from shared.web.pages import Pages
from shared.web.state import web_state

ROWS = 50


class KeyedForm(BaseModel):
    """What every form of a desk carries: the key under which it counts once."""

    idempotency_key: Code

    def sent_by(self, request: Request, who: Reader) -> Caller:
        """Who sent it, with the key. Raises Problem."""
        said = self.model_dump_json(exclude={"idempotency_key"}).encode()
        return Caller(who.actor, keyed_form(request, who.actor, self.idempotency_key, said))


class CaseDesk:
    """The parts that a desk works with."""

    def __init__(self, database: Database, policies: Policies, pages: Pages) -> None:
        self._database = database
        self._policies = policies
        self._pages = pages
        self._commands = Commands(database, policies)

    async def _render(
        self,
        request: Request,
        template: str,
        *,
        rows: Sequence[ListedCase],
        case: CaseView | None,
        status: int,
        now: dt.datetime,
        **context: Any,
    ) -> Response:
        """The page, with what the templates of every desk need beside `context`."""
        cases: list[Case] = [*rows]
        if case is not None:
            cases.append(case)
        return self._pages.render(
            request,
            template,
            status=status,
            rows=rows,
            case=case,
            open_case=case is not None,
            idempotency_key=new_id(now),
            names=Names(self._policies, language_of(request, web_state(request).settings.language)),
            deadlines=await Deadlines.of(self._database.pool, self._policies, cases, now),
            now=now,
            **context,
        )
