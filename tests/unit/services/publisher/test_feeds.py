"""Feeds are valid whatever a publication contains."""

import datetime as dt
import json
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest

from services.publisher.domain.feeds import Feed, FeedEntry, atom, json_feed

ATOM = {"a": "http://www.w3.org/2005/Atom"}
MOMENT = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
LATER = MOMENT + dt.timedelta(hours=1)
ODD = [
    "<script>alert(1)</script>",
    "A & B ]]> <![CDATA[",
    "\x0b\x1f\x7f\x85\u2028",
    "水费调整 💧 \u202eabc",
    "\ufffe\uffff",
    "'\"",
]


def feed(*texts: str) -> Feed:
    entries = [
        FeedEntry(
            f"https://city.example/policies/{n}",
            text,
            text,
            f"{text}\n\n{text}\n{text}",
            ("housing",),
            MOMENT,
            LATER,
        )
        for n, text in enumerate(texts)
    ]
    return Feed(
        title="Civicloom",
        description="News",
        home="https://city.example/policies",
        address="https://city.example/feeds/all",
        author="City",
        language="zh-Hans",
        updated=LATER,
        entries=entries,
    )


@pytest.mark.parametrize("text", ODD)
def test_an_atom_feed_with_odd_characters_is_well_formed(text: str) -> None:
    root = ElementTree.fromstring(atom(feed(text)))  # noqa: S314  (our own document)
    entries = root.findall("a:entry", ATOM)
    assert len(entries) == 1
    readable = (
        text.replace("\x0b", "\ufffd")
        .replace("\x1f", "\ufffd")
        .replace("\ufffe", "\ufffd")
        .replace("\uffff", "\ufffd")
    )
    assert entries[0].findtext("a:title", None, ATOM) == readable
    content = entries[0].find("a:content", ATOM)
    assert content is not None
    assert content.get("type") == "html"
    assert "<script" not in (content.text or "")
    assert unescape(content.text or "").startswith(f"<p>{readable}</p>")


def test_an_atom_feed_has_what_rfc_4287_requires() -> None:
    root = ElementTree.fromstring(atom(feed("One", "Two")))  # noqa: S314
    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    for required in ("id", "title", "updated", "author/a:name"):
        assert root.findtext(f"a:{required}", None, ATOM)
    assert dt.datetime.fromisoformat(root.findtext("a:updated", "", ATOM)) == LATER
    links = {link.get("rel"): link.get("href") for link in root.findall("a:link", ATOM)}
    assert links["self"] == "https://city.example/feeds/all.atom"
    for entry in root.findall("a:entry", ATOM):
        for required in ("id", "title", "updated", "published", "summary"):
            assert entry.findtext(f"a:{required}", None, ATOM)


def test_an_empty_feed_is_a_feed_and_its_bytes_depend_on_nothing_else() -> None:
    assert atom(feed()) == atom(feed())
    assert ElementTree.fromstring(atom(feed())).findtext("a:updated", None, ATOM)  # noqa: S314
    assert json.loads(json_feed(feed()))["items"] == []


@pytest.mark.parametrize("text", ODD)
def test_a_json_feed_has_what_version_1_1_requires_and_keeps_every_character(text: str) -> None:
    document = json.loads(json_feed(feed(text)))
    assert document["version"] == "https://jsonfeed.org/version/1.1"
    assert document["title"]
    assert document["feed_url"].endswith("/feeds/all.json")
    (item,) = document["items"]
    assert isinstance(item["id"], str)
    assert item["title"] == text
    assert item["content_text"] == f"{text}\n\n{text}\n{text}"
    assert dt.datetime.fromisoformat(item["date_published"]) == MOMENT
    assert dt.datetime.fromisoformat(item["date_modified"]) == LATER


ENTRY = FeedEntry(
    "https://city.example/policies/7",
    "Water",
    "Cheaper",
    "One\nline\n\n\nTwo & three",
    ("water", "money"),
    MOMENT,
    LATER,
)
WHOLE = Feed(
    title="News",
    description="What is new",
    home="https://city.example/policies",
    address="https://city.example/feeds/water",
    author="City",
    language="zh-Hans",
    updated=LATER,
    entries=[ENTRY, replace(ENTRY, url="https://city.example/policies/8", summary="")],
)


def test_a_json_feed_has_every_member() -> None:
    item = {
        "id": "https://city.example/policies/7",
        "url": "https://city.example/policies/7",
        "title": "Water",
        "summary": "Cheaper",
        "content_text": "One\nline\n\n\nTwo & three",
        "date_published": "2026-11-24T01:30:00Z",
        "date_modified": "2026-11-24T02:30:00Z",
        "tags": ["water", "money"],
    }
    without = {name: value for name, value in item.items() if name != "summary"}
    other = "https://city.example/policies/8"
    assert json.loads(json_feed(WHOLE)) == {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "News",
        "description": "What is new",
        "home_page_url": "https://city.example/policies",
        "feed_url": "https://city.example/feeds/water.json",
        "language": "zh-Hans",
        "authors": [{"name": "City"}],
        "items": [item, without | {"id": other, "url": other}],
    }


def test_an_atom_feed_has_every_element() -> None:
    root = ElementTree.fromstring(atom(WHOLE))  # noqa: S314
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-Hans"
    texts = {name: root.findtext(f"a:{name}", None, ATOM) for name in ("id", "title", "subtitle", "updated")}
    assert texts == {
        "id": "https://city.example/feeds/water.atom",
        "title": "News",
        "subtitle": "What is new",
        "updated": "2026-11-24T02:30:00+00:00",
    }
    assert root.findtext("a:author/a:name", None, ATOM) == "City"
    links = {link.get("rel"): link.get("href") for link in root.findall("a:link", ATOM)}
    assert links == {
        "alternate": "https://city.example/policies",
        "self": "https://city.example/feeds/water.atom",
    }
    entry, second = root.findall("a:entry", ATOM)
    names = ("id", "title", "summary", "content", "published", "updated")
    assert {name: entry.findtext(f"a:{name}", None, ATOM) for name in names} == {
        "id": "https://city.example/policies/7",
        "title": "Water",
        "summary": "Cheaper",
        "content": "<p>One<br>line</p><p>Two &amp; three</p>",
        "published": "2026-11-24T01:30:00+00:00",
        "updated": "2026-11-24T02:30:00+00:00",
    }
    link = entry.find("a:link", ATOM)
    assert link is not None
    assert link.get("href") == "https://city.example/policies/7"
    assert [one.get("term") for one in entry.findall("a:category", ATOM)] == ["water", "money"]
    assert second.find("a:summary", ATOM) is None


def test_blank_lines_around_a_text_make_no_paragraph() -> None:
    root = ElementTree.fromstring(atom(replace(WHOLE, entries=[replace(ENTRY, body="\nOne\n")])))  # noqa: S314
    assert root.findtext("a:entry/a:content", None, ATOM) == "<p>One</p>"
