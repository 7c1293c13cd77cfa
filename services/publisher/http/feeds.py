"""`/feeds/<topic>.atom` and `.json`, with ETag, so that frequent readers transfer little."""

import datetime as dt
import hashlib
from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.publisher.domain import feeds
from services.publisher.domain.feeds import Feed, FeedEntry
from services.publisher.domain.publications import TOPICS
from services.publisher.http import views
from services.publisher.http.context import Ctx
from services.publisher.queries import publications
from services.publisher.queries.publications import PublicVersion
from shared.web.problems import Problem
from shared.web.state import web_state

router = APIRouter(tags=["feeds"])

_ENTRIES = 50
_MEDIA_TYPES = {"atom": "application/atom+xml; charset=utf-8", "json": "application/feed+json; charset=utf-8"}
_BEFORE_ALL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # for a feed in which nothing was ever published


@router.get("/feeds/{topic}.{kind}")
async def feed(request: Request, ctx: Ctx, topic: str, kind: Literal["atom", "json"]) -> Response:
    """What was published last, under a topic or `all`: Atom, or JSON Feed 1.1."""
    pool = ctx.database.pool
    wanted = None if topic == "all" else topic
    changed = await publications.feed_changed_at(pool, wanted)
    if changed is None and wanted is not None and wanted not in TOPICS:
        raise Problem(404, "no-such-feed", "There is no such feed")
    page = await views.public_page(pool, topic=wanted, cursor=None, limit=_ENTRIES)
    language = web_state(request).settings.language
    text = ctx.pages.catalogue.text
    title = text(language, "app.name")
    if wanted is not None:
        named = text(language, f"topic.{wanted}") if wanted in TOPICS else wanted
        title = f"{title} · {named}"
    document = Feed(
        title=title,
        description=text(language, "feed.description"),
        home=f"{ctx.public_url}/policies" + (f"?topic={wanted}" if wanted else ""),
        address=f"{ctx.public_url}/feeds/{topic}",
        author=text(language, "app.name"),
        language="zh-Hans" if language == "zh" else language,
        updated=changed or _BEFORE_ALL,
        entries=[_entry(row, ctx.public_url) for row in page.items],
    )
    body = feeds.atom(document) if kind == "atom" else feeds.json_feed(document)
    return _conditional(request, body, _MEDIA_TYPES[kind])


def _entry(row: PublicVersion, public_url: str) -> FeedEntry:
    return FeedEntry(
        url=f"{public_url}/policies/{row.id}",
        title=row.title,
        summary=row.summary,
        body=row.body,
        topics=tuple(row.topics),
        published=row.published_at,
        updated=row.updated_at,
    )


def _conditional(request: Request, body: bytes, media_type: str) -> Response:
    """200, or 304 (RFC 9110 13.1). No Last-Modified: two changes may fall into one second."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "public, max-age=60",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    known = request.headers.get("if-none-match", "").split(",")
    if any(each.strip().removeprefix("W/") in (tag, "*") for each in known):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
