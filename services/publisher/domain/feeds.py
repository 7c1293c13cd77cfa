"""Feeds of what is published: Atom (RFC 4287) and JSON Feed 1.1, as bytes that depend on nothing else."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import feedgenerator
import orjson

# What XML 1.0 cannot hold (2.2 Char), not even escaped; a reader sees the replacement character instead.
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
    """A feed as its readers know it; `address` is without the ending."""

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
    """The library takes the feed's moment from its entries and then from the machine's clock; a withdrawal is
    a change as well, and an empty feed has a moment too."""

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
    """Plain text as the HTML that Atom's type="html" announces: blank lines end paragraphs."""
    paragraphs = re.split(r"\n{2,}", text.strip())
    return "".join(f"<p>{escape(each).replace(chr(10), '<br>')}</p>" for each in paragraphs if each)
