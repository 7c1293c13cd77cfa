"""`/publish`: the desk of editors and approvers."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.publisher.commands import publications as commands
from services.publisher.commands.publications import Body, CommandResult, Content, Reason, Refused, Summary
from services.publisher.domain.publications import TOPICS, Publication
from services.publisher.http import views
from services.publisher.http.context import Context, no_publication, once
from services.publisher.http.publications_api import Editor, Staff
from services.publisher.queries import QUERIES
from shared.ids import is_id, new_id
from shared.unit_of_work.idempotency import Answer, KeyReused
from shared.unit_of_work.idempotency import Request as Keyed
from shared.unit_of_work.transaction import Tx
from shared.web.bodies import FieldError, Form, blank_form, read_form
from shared.web.keys import clash, keyed_form
from shared.web.problems import Problem
from shared.web.session import Person
from shared.web.state import web_state

_A_PAGE = 50
_STATES = ("draft", "approved", "published", "withdrawn")
Key = Annotated[str, Field(min_length=1, max_length=64)]


class DraftForm(BaseModel):
    """What the form sends; `effective_on` is a day, from whose beginning it is in force."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    summary: Summary = ""
    body: Body
    topics: list[str] = []
    document_number: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    effective_on: dt.date | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    idempotency_key: Key


class ActForm(BaseModel):
    """A button; `reason` belongs to withdrawing."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    reason: Reason = ""
    idempotency_key: Key


def desk_router(context: Context) -> APIRouter:
    """The list, a draft's form, and the buttons of its state."""
    router = APIRouter(include_in_schema=False)
    desk = _Desk(context)

    @router.get("/publish")
    async def listing(
        request: Request,
        _: Staff,
        state: str | None = None,
        cursor: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> Response:
        return await desk.show(request, state=state, cursor=cursor)

    @router.get("/publish/new")
    async def new(request: Request, _: Editor) -> Response:
        return await desk.show(request, form=blank_form(), chosen=())

    @router.post("/publish/new")
    async def create(request: Request, person: Editor) -> Response:
        return await desk.create(request, person)

    @router.get("/publish/{identifier}")
    async def one(request: Request, identifier: str, _: Staff) -> Response:
        return await desk.show(request, identifier=identifier)

    @router.get("/publish/{identifier}/change")
    async def change_page(request: Request, identifier: str, _: Editor) -> Response:
        row = await views.desk_one(context.database.pool, identifier)
        form = blank_form(**desk.typed(request, row))
        return await desk.show(request, identifier=identifier, form=form, chosen=tuple(row["topics"]))

    @router.post("/publish/{identifier}/change")
    async def change(request: Request, identifier: str, person: Editor) -> Response:
        return await desk.change(request, identifier, person)

    @router.post("/publish/{identifier}/{act}")
    async def act(request: Request, identifier: str, act: str, person: Staff) -> Response:
        return await desk.act(request, identifier, act, person)

    return router


class _Desk:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database

    async def show(
        self,
        request: Request,
        *,
        identifier: str | None = None,
        state: str | None = None,
        cursor: str | None = None,
        form: Form[Any] | None = None,
        chosen: tuple[str, ...] = (),
        withdrawal: Form[Any] | None = None,
        refusal: Refused | None = None,
        resent: bool = False,
        status: int = 200,
    ) -> Response:
        """The list, and beside it one publication, or the form of one; `resent`: its key was used before."""
        pool = self._database.pool
        wanted = state if state in _STATES else None
        row = await views.desk_one(pool, identifier) if identifier else None
        page = await views.desk_page(pool, state=wanted, cursor=cursor, limit=_A_PAGE)
        pushes = await pool.fetch(QUERIES["push_progress"], identifier) if identifier else []
        return self._context.pages.render(
            request,
            "publish.html",
            status=status,
            page=page,
            state=wanted,
            states=_STATES,
            row=row,
            allowed=_allowed(row) if row else (),
            form=form,
            withdrawal=withdrawal,
            chosen=chosen,
            topics=TOPICS,
            pushes=pushes,
            refusal=refusal.refusal if refusal else None,
            resent=resent,
            mail_works=self._context.mail_works,
            key=new_id(self._database.clock.now()),
            open_case=row is not None or form is not None,
        )

    async def create(self, request: Request, person: Person) -> Response:
        form, content, chosen = await self._read(request)
        if form.value is None or content is None:
            return await self.show(request, form=form, chosen=chosen, status=422)
        attribution = self._context.attribution(person)
        keyed_request = _keyed(request, person, form.value)
        identifier = new_id(self._database.clock.now())
        try:
            async with self._database.transaction(new=[identifier]) as tx:

                async def act() -> Answer:
                    result = await commands.draft(tx, identifier, content, attribution)
                    return Answer(303, {"id": result.id})

                answer = await once(tx, keyed_request, act)
        except KeyReused:
            return await self.show(request, form=form, chosen=chosen, resent=True, status=409)
        return RedirectResponse(f"/publish/{answer.body['id']}", 303)

    async def change(self, request: Request, identifier: str, person: Person) -> Response:
        form, content, chosen = await self._read(request)
        if form.value is None or content is None:
            return await self.show(request, identifier=identifier, form=form, chosen=chosen, status=422)
        version, attribution = form.value.version, self._context.attribution(person)
        keyed_request = _keyed(request, person, form.value)
        # What was typed is shown again: somebody else's change, or one's own of before, must not cost it.
        again = partial(self.show, request, identifier=identifier, form=form, chosen=chosen, status=409)
        try:
            await self._do(
                identifier,
                keyed_request,
                lambda tx: commands.revise(tx, identifier, content, version, attribution),
            )
        except Refused as refused:
            return await again(refusal=refused)
        except KeyReused:
            return await again(resent=True)
        return RedirectResponse(f"/publish/{identifier}", 303)

    async def act(self, request: Request, identifier: str, act: str, person: Person) -> Response:
        form = await read_form(request, ActForm)
        attribution = self._context.attribution(person)
        approver = "approver" in person.roles
        if form.value is None or act not in ("approve", "publish", "withdraw"):
            raise Problem(404, "not-found", "There is no such act")
        if act != "publish" and not approver:
            raise Problem(403, "wrong-role", "Your role does not allow this", "Needed is: approver.")
        version, reason = form.value.version, form.value.reason
        if act == "withdraw" and not reason:
            failed: Form[Any] = Form(None, (FieldError("reason", "missing"),), form.typed)
            return await self.show(request, identifier=identifier, withdrawal=failed, status=422)
        acts: Mapping[str, Callable[[Tx], Awaitable[CommandResult]]] = {
            "approve": lambda tx: commands.approve(tx, identifier, version, attribution),
            "publish": lambda tx: commands.publish(tx, identifier, version, attribution),
            "withdraw": lambda tx: commands.withdraw(tx, identifier, version, reason, attribution),
        }
        try:
            await self._do(identifier, _keyed(request, person, form.value), acts[act])
        except Refused as refused:
            return await self.show(request, identifier=identifier, refusal=refused, status=409)
        except KeyReused as error:
            raise clash(error) from None
        return RedirectResponse(f"/publish/{identifier}", 303)

    def typed(self, request: Request, row: views.Row) -> dict[str, str]:
        """The form's fields from the stored version."""
        effective = row["effective_from"]
        zone = _zone(request)
        return {
            "title": row["title"],
            "summary": row["summary"],
            "body": row["body"],
            "document_number": row["document_number"] or "",
            "effective_on": effective.astimezone(zone).date().isoformat() if effective else "",
            "version": str(row["version"]),
        }

    async def _do(
        self, identifier: str, keyed_request: Keyed, command: Callable[[Tx], Awaitable[CommandResult]]
    ) -> None:
        if not is_id(identifier):
            raise no_publication()

        async def act() -> Answer:
            return Answer(303, {"id": (await command(tx)).id})

        try:
            async with self._database.transaction([identifier]) as tx:
                await once(tx, keyed_request, act)
        except commands.NoSuchPublication:
            raise no_publication() from None

    async def _read(self, request: Request) -> tuple[Form[DraftForm], Content | None, tuple[str, ...]]:
        form = await read_form(request, DraftForm)
        if form.value is None:
            return form, None, form.chosen["topics"]
        chosen = tuple(form.value.topics)
        day = form.value.effective_on
        try:
            content = Content(
                title=form.value.title,
                summary=form.value.summary,
                body=form.value.body,
                topics=chosen,
                document_number=form.value.document_number or None,
                effective_from=dt.datetime.combine(day, dt.time(), _zone(request)) if day else None,
            )
        except ValidationError as error:
            errors = tuple(FieldError(str(each["loc"][0]), each["type"]) for each in error.errors())
            return Form(None, errors, form.typed), None, chosen
        return form, content, chosen


def _keyed(request: Request, person: Person, sent: DraftForm | ActForm) -> Keyed:
    said = sent.model_dump_json(exclude={"idempotency_key"}).encode()
    return keyed_form(request, person.actor, sent.idempotency_key, said)


def _allowed(row: views.Row) -> tuple[str, ...]:
    return Publication(row["state"], row["version"], row["public_version"], row["editor"]).allowed


def _zone(request: Request) -> ZoneInfo:
    return ZoneInfo(web_state(request).settings.time_zone)
