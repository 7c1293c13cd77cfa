"""`/api/publisher/v1/publications`: what is published; drafting to withdrawing, for staff."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.publisher.commands import publications
from services.publisher.domain.content import Content, Reason
from services.publisher.http import views
from services.publisher.http.answers import check_id, refusals, respond
from services.publisher.http.context import STAFF, Approver, Ctx, Editor, Staff
from shared.web.bodies import read_model
from shared.web.callers import current_person
from shared.web.keys import keyed
from shared.web.openapi import takes

router = APIRouter(prefix="/api/publisher/v1/publications", tags=["publications"])


class Revision(Content):
    """A changed content; `version` is the one that was changed."""

    version: Annotated[int, Field(ge=1)]


class OfVersion(BaseModel):
    """An act on the version that the person has seen."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]


class Withdrawal(OfVersion):
    """`reason` is shown to the public."""

    reason: Annotated[Reason, StringConstraints(min_length=1)]


@router.get("")
async def list_publications(
    ctx: Ctx,
    topic: Annotated[str | None, Query(max_length=64)] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """What is in force of publication, newest first."""
    page = await views.public_page(ctx.database.pool, topic=topic, cursor=cursor, limit=limit)
    items = [views.public_json(row, ctx.public_url) for row in page.items]
    return JSONResponse({"items": items, "next": page.next})


@router.get("/drafts")
async def list_drafts(
    ctx: Ctx,
    _: Staff,
    state: Literal["draft", "approved", "published", "withdrawn"] | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The newest version of every publication, by last change; for editors and approvers."""
    page = await views.desk_page(ctx.database.pool, state=state, cursor=cursor, limit=limit)
    return JSONResponse({"items": [views.desk_json(row) for row in page.items], "next": page.next})


@router.get("/{identifier}")
async def get_publication(request: Request, ctx: Ctx, identifier: str) -> Response:
    """The public version; for staff with what is not public yet as `newest`."""
    pool = ctx.database.pool
    person = current_person(request)
    if person is None or person.roles.isdisjoint(STAFF):
        return JSONResponse(views.public_json(await views.public_one(pool, identifier), ctx.public_url))
    newest = await views.desk_one(pool, identifier)
    answer: dict[str, Any] = {"newest": views.desk_json(newest)}
    if newest.public_version is not None:
        answer |= views.public_json(await views.public_one(pool, identifier), ctx.public_url)
    return JSONResponse(answer)


@router.post("", status_code=201, openapi_extra=takes(Content))
async def create(request: Request, ctx: Ctx, person: Editor) -> Response:
    """Drafts a publication. 201 with its id, version and the event's sequence."""
    content = await read_model(request, Content)
    key = await keyed(request, person.actor)
    with refusals():
        return respond(await publications.draft(ctx.database, key, content, by=ctx.attribution(person)))


@router.put("/{identifier}", openapi_extra=takes(Revision))
async def revise(request: Request, ctx: Ctx, identifier: str, person: Editor) -> Response:
    """Makes a new version, which needs a new approval."""
    revision = await read_model(request, Revision)
    content = Content.model_validate(revision.model_dump(exclude={"version"}))
    check_id(identifier)
    key = await keyed(request, person.actor)
    by = ctx.attribution(person)
    with refusals():
        answer = await publications.revise(ctx.database, key, identifier, content, revision.version, by=by)
        return respond(answer)


@router.post("/{identifier}/approve", openapi_extra=takes(OfVersion))
async def approve(request: Request, ctx: Ctx, identifier: str, person: Approver) -> Response:
    """Answers for a version as the second person; its own editor is refused."""
    body = await read_model(request, OfVersion)
    check_id(identifier)
    key = await keyed(request, person.actor)
    by = ctx.attribution(person)
    with refusals():
        return respond(await publications.approve(ctx.database, key, identifier, body.version, by=by))


@router.post("/{identifier}/publish", openapi_extra=takes(OfVersion))
async def publish(request: Request, ctx: Ctx, identifier: str, person: Staff) -> Response:
    """Makes the approved version public and sends it to its subscribers."""
    body = await read_model(request, OfVersion)
    check_id(identifier)
    key = await keyed(request, person.actor)
    by = ctx.attribution(person)
    with refusals():
        return respond(await publications.publish(ctx.database, key, identifier, body.version, by=by))


@router.post("/{identifier}/withdraw", openapi_extra=takes(Withdrawal))
async def withdraw(request: Request, ctx: Ctx, identifier: str, person: Approver) -> Response:
    """Takes a published one back, with a reason that everybody can read."""
    body = await read_model(request, Withdrawal)
    check_id(identifier)
    key = await keyed(request, person.actor)
    by = ctx.attribution(person)
    with refusals():
        return respond(
            await publications.withdraw(
                ctx.database, key, identifier, body.version, reason=body.reason, by=by
            )
        )
