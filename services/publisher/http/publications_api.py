"""`/api/publisher/v1/publications`: what is published, for everybody; drafting to withdrawing, for staff."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.publisher.commands import publications as commands
from services.publisher.commands.publications import CommandResult, Content, Reason
from services.publisher.http import views
from services.publisher.http.context import Context, no_publication, once, refusals, respond
from shared.ids import is_id, new_id
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.transaction import Tx
from shared.web.bodies import read_model
from shared.web.callers import current_person, require
from shared.web.keys import keyed
from shared.web.openapi import takes
from shared.web.session import Person

STAFF = ("editor", "approver")
_BASE = "/api/publisher/v1/publications"


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


Editor = Annotated[Person, Depends(require("editor"))]
Approver = Annotated[Person, Depends(require("approver"))]
Staff = Annotated[Person, Depends(require(*STAFF))]


def api_router(context: Context) -> APIRouter:
    """The API of publications. Writes need a signed-in person and an Idempotency-Key."""
    router = APIRouter(prefix=_BASE, tags=["publications"])
    pool = context.database.pool

    @router.get("")
    async def list_publications(
        topic: Annotated[str | None, Query(max_length=64)] = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """What is in force of publication, newest first."""
        page = await views.public_page(pool, topic=topic, cursor=cursor, limit=limit)
        items = [views.public_json(row, context.public_url) for row in page.items]
        return JSONResponse({"items": items, "next": page.next})

    @router.get("/drafts")
    async def list_drafts(
        _: Staff,
        state: Literal["draft", "approved", "published", "withdrawn"] | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """The newest version of every publication, by last change; for editors and approvers."""
        page = await views.desk_page(pool, state=state, cursor=cursor, limit=limit)
        items = [views.desk_json(row) for row in page.items]
        return JSONResponse({"items": items, "next": page.next})

    @router.get("/{identifier}")
    async def get_publication(request: Request, identifier: str) -> Response:
        """The public version; for staff with what is not public yet as `newest`."""
        person = current_person(request)
        if person is None or person.roles.isdisjoint(STAFF):
            row = await views.public_one(pool, identifier)
            return JSONResponse(views.public_json(row, context.public_url))
        newest = await views.desk_one(pool, identifier)
        answer: dict[str, Any] = {"newest": views.desk_json(newest)}
        if newest["public_version"] is not None:
            answer |= views.public_json(await views.public_one(pool, identifier), context.public_url)
        return JSONResponse(answer)

    _add_writes(router, context)
    return router


def _add_writes(router: APIRouter, context: Context) -> None:
    @router.post("", status_code=201, openapi_extra=takes(Content))
    async def create(request: Request, person: Editor) -> Response:
        """Drafts a publication. 201 with its id, version and the event's sequence."""
        content = await read_model(request, Content)
        attribution = context.attribution(person)
        keyed_request = await keyed(request, person.actor)
        identifier = new_id(context.database.clock.now())
        async with refusals(), context.database.transaction(new=[identifier]) as tx:

            async def act() -> Answer:
                return _answer(await commands.draft(tx, identifier, content, attribution), 201)

            return respond(await once(tx, keyed_request, act))

    @router.put("/{identifier}", openapi_extra=takes(Revision))
    async def revise(request: Request, identifier: str, person: Editor) -> Response:
        """Makes a new version, which needs a new approval."""
        revision = await read_model(request, Revision)
        content = Content.model_validate(revision.model_dump(exclude={"version"}))
        attribution = context.attribution(person)
        return await _act(
            request,
            identifier,
            person,
            lambda tx: commands.revise(tx, identifier, content, revision.version, attribution),
        )

    @router.post("/{identifier}/approve", openapi_extra=takes(OfVersion))
    async def approve(request: Request, identifier: str, person: Approver) -> Response:
        """Answers for a version as the second person; refused to whoever edited it."""
        body = await read_model(request, OfVersion)
        attribution = context.attribution(person)
        return await _act(
            request,
            identifier,
            person,
            lambda tx: commands.approve(tx, identifier, body.version, attribution),
        )

    @router.post("/{identifier}/publish", openapi_extra=takes(OfVersion))
    async def publish(request: Request, identifier: str, person: Staff) -> Response:
        """Makes the approved version public and sends it to its subscribers."""
        body = await read_model(request, OfVersion)
        attribution = context.attribution(person)
        return await _act(
            request,
            identifier,
            person,
            lambda tx: commands.publish(tx, identifier, body.version, attribution),
        )

    @router.post("/{identifier}/withdraw", openapi_extra=takes(Withdrawal))
    async def withdraw(request: Request, identifier: str, person: Approver) -> Response:
        """Takes a published one back, with a reason that everybody can read."""
        body = await read_model(request, Withdrawal)
        attribution = context.attribution(person)
        return await _act(
            request,
            identifier,
            person,
            lambda tx: commands.withdraw(tx, identifier, body.version, body.reason, attribution),
        )

    async def _act(
        request: Request, identifier: str, person: Person, command: Callable[[Tx], Awaitable[CommandResult]]
    ) -> Response:
        if not is_id(identifier):
            raise no_publication()
        keyed_request = await keyed(request, person.actor)
        async with refusals(), context.database.transaction([identifier]) as tx:

            async def act() -> Answer:
                return _answer(await command(tx), 200)

            return respond(await once(tx, keyed_request, act))


def _answer(result: CommandResult, status: int) -> Answer:
    publication = result.publication
    body = {
        "id": result.id,
        "state": publication.state,
        "version": publication.version,
        "public_version": publication.public_version,
        "allowed": list(publication.allowed),
        "sequence": result.sequence,
    }
    return Answer(status, body)
