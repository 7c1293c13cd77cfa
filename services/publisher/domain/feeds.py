"""Feeds of publications: Atom (RFC 4287) and JSON Feed 1.1. The bytes depend on the `Feed` alone."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import feedgenerator
import orjson

# Characters that XML 1.0 (2.2) excludes, even escaped; U+FFFD takes their place.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A publication in a feed; `url` is also its id, which never changes."""

    url: str
    title: str
    summary: str
    body: str
    topics: tuple[str, ...]
    published: dt.datetime
    updated: dt.datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """The metadata and entries of a feed; `address` is its URL without the file extension."""

    title: str
    description: str
    home: str
    address: str
    author: str
    language: str
    updated: dt.datetime
    entries: Sequence[FeedEntry]


def atom(feed: Feed) -> bytes:
    """The feed as Atom 1.0 in UTF-8."""
    document = _Atom(
        title=_xml(feed.title),
        link=feed.home,
        description=_xml(feed.description),
        language=feed.language,
        feed_url=f"{feed.address}.atom",
        feed_guid=f"{feed.address}.atom",
        author_name=_xml(feed.author),
    )
    document.updated = feed.updated
    for entry in feed.entries:
        document.add_item(
            title=_xml(entry.title),
            link=entry.url,
            unique_id=entry.url,
            description=escape(_xml(entry.summary)) or None,
            content=_html(_xml(entry.body)),
            pubdate=entry.published,
            updateddate=entry.updated,
            categories=entry.topics,
        )
    text: str = document.writeString("utf-8")
    return text.encode()


def json_feed(feed: Feed) -> bytes:
    """The feed as JSON Feed 1.1 (jsonfeed.org/version/1.1)."""
    return orjson.dumps(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": feed.title,
            "description": feed.description,
            "home_page_url": feed.home,
            "feed_url": f"{feed.address}.json",
            "language": feed.language,
            "authors": [{"name": feed.author}],
            "items": [_item(entry) for entry in feed.entries],
        },
        option=orjson.OPT_UTC_Z,
    )


class _Atom(feedgenerator.Atom1Feed):  # type: ignore[misc]  # the library has no types
    """Uses our time of change. The library takes it from the entries, or from the machine's clock if it has
    none; but a withdrawal is a change too, and the bytes of an empty feed must not depend on the clock."""

    updated: dt.datetime

    def latest_post_date(self) -> dt.datetime:
        return self.updated


def _item(entry: FeedEntry) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": entry.url,
        "url": entry.url,
        "title": entry.title,
        "content_text": entry.body,
        "date_published": entry.published,
        "date_modified": entry.updated,
        "tags": list(entry.topics),
    }
    if entry.summary:
        item["summary"] = entry.summary
    return item


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _html(text: str) -> str:
    """Plain text as HTML for Atom's type="html": blank lines end paragraphs."""
    paragraphs = re.split(r"\n{2,}", text.strip())
    return "".join(f"<p>{escape(each).replace(chr(10), '<br>')}</p>" for each in paragraphs if each)
