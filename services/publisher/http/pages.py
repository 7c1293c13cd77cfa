"""What everybody reads: the home page and the policies."""

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from services.publisher.domain.publications import TOPICS
from services.publisher.http import views
from services.publisher.http.context import Context

_PARAGRAPH = re.compile(r"\n\s*\n")
_LATEST = 5
_A_PAGE = 20


def reading_router(context: Context) -> APIRouter:
    """`/`, `/policies`, `/policies/<id>`."""
    router = APIRouter(include_in_schema=False)
    pool = context.database.pool

    @router.get("/")
    async def home(request: Request) -> Response:
        latest = await views.public_page(pool, topic=None, cursor=None, limit=_LATEST)
        return context.pages.render(
            request, "home.html", latest=latest.items, now=context.database.clock.now()
        )

    @router.get("/policies")
    async def policies(
        request: Request,
        topic: Annotated[str | None, Query(max_length=64)] = None,
        cursor: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> Response:
        page = await views.public_page(pool, topic=topic or None, cursor=cursor, limit=_A_PAGE)
        return context.pages.render(
            request, "policies.html", page=page, topic=topic or None, topics=TOPICS, first=not cursor
        )

    @router.get("/policies/{identifier}")
    async def policy(request: Request, identifier: str) -> Response:
        row = await views.public_one(pool, identifier)
        return context.pages.render(
            request, "policy.html", policy=row, paragraphs=_PARAGRAPH.split(row["body"].strip())
        )

    return router
