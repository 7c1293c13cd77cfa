"""`/publish`: the desk of editors and approvers: the list, a draft's form, and the buttons of its state."""

import datetime as dt
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.publisher.commands import publications
from services.publisher.commands.publications import NoSuchPublication
from services.publisher.domain.content import Body, Content, Reason, Summary
from services.publisher.domain.publications import TOPICS
from services.publisher.http import views
from services.publisher.http.answers import check_id, no_publication
from services.publisher.http.context import Context, Ctx, Editor, Staff
from services.publisher.queries.deliveries import push_progress
from services.publisher.queries.publications import DeskPublication
from shared.decision import Refusal, Refused
from shared.ids import new_id
from shared.unit_of_work.idempotency import KeyReused
from shared.unit_of_work.idempotency import Request as KeyedRequest
from shared.web.bodies import FieldError, Form, blank_form, read_form
from shared.web.keys import clash, keyed_form
from shared.web.problems import Problem
from shared.web.session import Person
from shared.web.state import web_state

router = APIRouter(include_in_schema=False)

_PAGE_SIZE = 50
_STATES = ("draft", "approved", "published", "withdrawn")
_ACTS = ("approve", "publish", "withdraw")
Key = Annotated[str, Field(min_length=1, max_length=64)]


class DraftForm(BaseModel):
    """The form of a draft; `effective_on` is a day, from whose beginning the publication is in force."""

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


@router.get("/publish")
async def listing(
    request: Request,
    ctx: Ctx,
    _: Staff,
    state: str | None = None,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """The list, of one state if it is given."""
    return await _page(request, ctx, state=state, cursor=cursor)


@router.get("/publish/new")
async def new(request: Request, ctx: Ctx, _: Editor) -> Response:
    """An empty form."""
    return await _page(request, ctx, form=blank_form())


@router.post("/publish/new")
async def create(request: Request, ctx: Ctx, person: Editor) -> Response:
    """Drafts a publication."""
    form, content, chosen = await _read_draft(request)
    if form.value is None or content is None:
        return await _page(request, ctx, form=form, chosen=chosen, status=422)
    key = _keyed(request, person, form.value)
    try:
        answer = await publications.draft(ctx.database, key, content, by=ctx.attribution(person))
    except KeyReused:
        return await _page(request, ctx, form=form, chosen=chosen, resent=True, status=409)
    return RedirectResponse(f"/publish/{answer.body['id']}", 303)


@router.get("/publish/{identifier}")
async def one(request: Request, ctx: Ctx, identifier: str, _: Staff) -> Response:
    """One publication, with the buttons of its state."""
    return await _page(request, ctx, identifier=identifier)


@router.get("/publish/{identifier}/change")
async def change_page(request: Request, ctx: Ctx, identifier: str, _: Editor) -> Response:
    """The form, filled with the newest version."""
    row = await views.desk_one(ctx.database.pool, identifier)
    form = blank_form(**_filled(row, _zone(request)))
    return await _page(request, ctx, identifier=identifier, form=form, chosen=tuple(row.topics))


@router.post("/publish/{identifier}/change")
async def change(request: Request, ctx: Ctx, identifier: str, person: Editor) -> Response:
    """Makes a new version. A conflict shows the form again, so that nothing typed is lost."""
    form, content, chosen = await _read_draft(request)
    if form.value is None or content is None:
        return await _page(request, ctx, identifier=identifier, form=form, chosen=chosen, status=422)
    key = _keyed(request, person, form.value)
    check_id(identifier)
    by = ctx.attribution(person)
    refusal, resent = None, False
    try:
        await publications.revise(ctx.database, key, identifier, content, form.value.version, by=by)
    except NoSuchPublication:
        raise no_publication() from None
    except Refused as error:
        refusal = error.refusal
    except KeyReused:
        resent = True
    if refusal is None and not resent:
        return RedirectResponse(f"/publish/{identifier}", 303)
    return await _page(
        request,
        ctx,
        identifier=identifier,
        form=form,
        chosen=chosen,
        refusal=refusal,
        resent=resent,
        status=409,
    )


@router.post("/publish/{identifier}/{act}")
async def act(request: Request, ctx: Ctx, identifier: str, act: str, person: Staff) -> Response:
    """A button: approve, publish or withdraw."""
    form = await read_form(request, ActForm)
    if form.value is None or act not in _ACTS:
        raise Problem(404, "not-found", "There is no such act")
    if act != "publish" and "approver" not in person.roles:
        raise Problem(403, "wrong-role", "Your role does not allow this", "Needed is: approver.")
    if act == "withdraw" and not form.value.reason:
        failed: Form[Any] = Form(None, (FieldError("reason", "missing"),), form.typed)
        return await _page(request, ctx, identifier=identifier, withdrawal=failed, status=422)
    key = _keyed(request, person, form.value)
    check_id(identifier)
    try:
        await _run(ctx, key, identifier, act, form.value, person=person)
    except NoSuchPublication:
        raise no_publication() from None
    except Refused as error:
        return await _page(request, ctx, identifier=identifier, refusal=error.refusal, status=409)
    except KeyReused as error:
        raise clash(error) from None
    return RedirectResponse(f"/publish/{identifier}", 303)


async def _run(
    ctx: Context, key: KeyedRequest, identifier: str, act: str, form: ActForm, *, person: Person
) -> None:
    by = ctx.attribution(person)
    if act == "approve":
        await publications.approve(ctx.database, key, identifier, form.version, by=by)
    elif act == "publish":
        await publications.publish(ctx.database, key, identifier, form.version, by=by)
    else:
        await publications.withdraw(ctx.database, key, identifier, form.version, reason=form.reason, by=by)


async def _page(
    request: Request,
    ctx: Context,
    *,
    identifier: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    form: Form[Any] | None = None,
    chosen: tuple[str, ...] = (),
    withdrawal: Form[Any] | None = None,
    refusal: Refusal | None = None,
    resent: bool = False,
    status: int = 200,
) -> Response:
    """The list, beside one publication or the form of one. `resent`: the form's key was used before."""
    pool = ctx.database.pool
    wanted = state if state in _STATES else None
    row = await views.desk_one(pool, identifier) if identifier else None
    page = await views.desk_page(pool, state=wanted, cursor=cursor, limit=_PAGE_SIZE)
    return ctx.pages.render(
        request,
        "publish.html",
        status=status,
        page=page,
        state=wanted,
        states=_STATES,
        row=row,
        allowed=row.publication.allowed if row else (),
        form=form,
        withdrawal=withdrawal,
        chosen=chosen,
        topics=TOPICS,
        pushes=await push_progress(pool, identifier) if identifier else [],
        refusal=refusal,
        resent=resent,
        mail_works=ctx.mail_works,
        key=new_id(ctx.database.clock.now()),
        open_case=row is not None or form is not None,
    )


async def _read_draft(request: Request) -> tuple[Form[DraftForm], Content | None, tuple[str, ...]]:
    """The form, its content if it is valid, and the topics that were chosen."""
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


def _filled(row: DeskPublication, zone: ZoneInfo) -> dict[str, str]:
    """The form's fields from the stored version."""
    effective = row.effective_from
    return {
        "title": row.title,
        "summary": row.summary,
        "body": row.body,
        "document_number": row.document_number or "",
        "effective_on": effective.astimezone(zone).date().isoformat() if effective else "",
        "version": str(row.version),
    }


def _keyed(request: Request, person: Person, sent: DraftForm | ActForm) -> KeyedRequest:
    body = sent.model_dump_json(exclude={"idempotency_key"}).encode()
    return keyed_form(request, person.actor, sent.idempotency_key, body)


def _zone(request: Request) -> ZoneInfo:
    return ZoneInfo(web_state(request).settings.time_zone)
