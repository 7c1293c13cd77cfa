"""Public pages: `/`, `/policies`, `/policies/<id>`."""

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from services.publisher.domain.publications import TOPICS
from services.publisher.http import views
from services.publisher.http.context import Ctx

router = APIRouter(include_in_schema=False)

_PARAGRAPH = re.compile(r"\n\s*\n")
_LATEST = 5
_PAGE_SIZE = 20


@router.get("/")
async def home(request: Request, ctx: Ctx) -> Response:
    """The home page, with the latest publications."""
    latest = await views.public_page(ctx.database.pool, topic=None, cursor=None, limit=_LATEST)
    return ctx.pages.render(request, "home.html", latest=latest.items, now=ctx.database.clock.now())


@router.get("/policies")
async def policies(
    request: Request,
    ctx: Ctx,
    topic: Annotated[str | None, Query(max_length=64)] = None,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Publications in force, newest first."""
    page = await views.public_page(ctx.database.pool, topic=topic or None, cursor=cursor, limit=_PAGE_SIZE)
    return ctx.pages.render(
        request, "policies.html", page=page, topic=topic or None, topics=TOPICS, first=not cursor
    )


@router.get("/policies/{identifier}")
async def policy(request: Request, ctx: Ctx, identifier: str) -> Response:
    """One publication, also a withdrawn one."""
    shown = await views.public_one(ctx.database.pool, identifier)
    return ctx.pages.render(
        request, "policy.html", policy=shown, paragraphs=_PARAGRAPH.split(shown.body.strip())
    )
