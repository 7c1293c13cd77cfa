"""Routes of audit, called as the plain functions that they are."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from services.audit import queries
from services.audit.entries import EntryView
from services.audit.http import log, oversight, traces
from services.audit.http.context import NO_INDEX, Context, context
from services.audit.http.rows import Rows
from services.audit.log.entry import commitment, encode_entry
from services.audit.log.note import Signer
from services.audit.log.proof import parse_proof
from services.audit.log.published import PublishedLog
from services.audit.log_size import LogSizeNotifier
from services.audit.queries import LoggedEntry
from shared.unit_of_work.database import Database
from shared.web.pages import Pages
from shared.web.pagination import write_cursor
from shared.web.problems import Problem
from shared.web.settings import WebSettings

WriteLog = Callable[[Path, Sequence[bytes]], str]

EVENT = "01a20c91-a000-7ced-98ed-30f4c4d475b3"
VALUE = b'{"id":"01","salt":"AAECAwQFBgcICQoLDA0ODw"}'
SIZE = 300
INDEX = 280


@pytest.fixture
def audit(tmp_path: Path, write_log: WriteLog, signer: Signer) -> Context:
    """The context over a published log of 300 entries; its database is never asked."""
    entries = [f"entry {i}".encode() for i in range(SIZE)]
    entries[INDEX] = encode_entry({"v": 1, "kind": "event", "commitment": commitment(VALUE)})
    write_log(tmp_path, entries)
    published = PublishedLog(tmp_path, signer.verifier)
    return Context(
        cast(Database, SimpleNamespace(pool=None)), published, LogSizeNotifier(), Pages("services.audit")
    )


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the tables have for the event id."""

    def answer(*, erased: bool = False, missing: bool = False) -> None:
        entry = encode_entry({"v": 1, "kind": "event", "commitment": commitment(VALUE)})

        async def entry_of_event(_: object, event_id: str) -> LoggedEntry | None:
            assert event_id == EVENT
            return None if missing else LoggedEntry(INDEX, entry, erased)

        monkeypatch.setattr(queries, "entry_of_event", entry_of_event)

    return answer


def request(audit: Context | None = None, query: str = "", **headers: str) -> Request:
    settings = WebSettings(secret_key=SecretStr("00" * 32), language="en", time_zone="UTC")
    app = SimpleNamespace(state=SimpleNamespace(web=SimpleNamespace(settings=settings), context=audit))
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "app": app, "headers": raw, "query_string": query.encode()})


def slug(raised: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    return raised.value.status_code, raised.value.slug


def test_a_request_knows_the_context_of_its_application(audit: Context) -> None:
    assert context(request(audit)) is audit


async def test_key_checkpoint_and_tiles_are_served_as_published(audit: Context, tmp_path: Path) -> None:
    assert (await log.key(audit)).body == f"{audit.published.verifier.vkey}\n".encode()
    assert (await log.checkpoint(audit)).body == (tmp_path / "checkpoint").read_bytes()
    tile = await log.tile("entries/000", audit)
    assert tile.body == (tmp_path / "tile/entries/000").read_bytes()
    assert "immutable" in tile.headers["cache-control"]


@pytest.mark.parametrize("path", ["", "0/999", "../checkpoint", "0/000.p/256"])
async def test_what_is_no_tile_is_not_found(audit: Context, path: str) -> None:
    with pytest.raises(Problem) as raised:
        await log.tile(path, audit)
    assert slug(raised) == (404, "no-such-tile")


async def test_a_log_that_was_not_published_yet_asks_to_come_back(tmp_path: Path, signer: Signer) -> None:
    empty = PublishedLog(tmp_path, signer.verifier)
    audit = Context(cast(Database, None), empty, LogSizeNotifier(), Pages("services.audit"))
    with pytest.raises(Problem) as raised:
        await log.checkpoint(audit)
    assert slug(raised) == (503, "log-not-published")


async def test_a_proof_holds_for_the_event(audit: Context, logged: Callable[..., None]) -> None:
    logged()
    answer = await log.proof(EVENT, audit)
    assert parse_proof(bytes(answer.body)).verify_event(VALUE, audit.published.verifier).size == SIZE


async def test_the_proof_of_an_erased_event_needs_its_commitment(
    audit: Context, logged: Callable[..., None]
) -> None:
    logged(erased=True)
    with pytest.raises(Problem) as raised:
        await log.proof(EVENT, audit)
    assert slug(raised) == (410, "event-erased")
    assert (await log.proof(EVENT, audit, commitment(VALUE))).status_code == 200


async def test_an_event_that_is_not_logged_or_has_no_id_has_no_proof(
    audit: Context, logged: Callable[..., None]
) -> None:
    logged(missing=True)
    for event_id, expected in ((EVENT, "not-logged-yet"), ("1", "no-such-event")):
        with pytest.raises(Problem) as raised:
            await log.proof(event_id, audit)
        assert slug(raised) == (404, expected)


async def test_damage_of_the_published_log_is_no_proof(
    audit: Context, logged: Callable[..., None], tmp_path: Path
) -> None:
    logged()
    (tmp_path / "checkpoint").write_bytes(b"nonsense")
    with pytest.raises(Problem) as raised:
        await log.proof(EVENT, audit)
    assert slug(raised) == (503, "log-damaged")


async def test_consistency_is_proven_from_every_size_that_the_log_has_had(audit: Context) -> None:
    for size in (1, 255, 256, SIZE):
        assert bytes((await log.consistency(str(size), audit)).body).startswith(b"old %d\n" % size)
    for size in ("0", str(SIZE + 1), "01", "x", "-1"):
        with pytest.raises(Problem) as raised:
            await log.consistency(size, audit)
        assert slug(raised) == (404, "no-such-size")


async def test_a_stream_begins_behind_what_was_seen_else_where_it_is_asked_to_else_at_the_end(
    audit: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def log_size(_: object) -> int:
        return 7

    monkeypatch.setattr(queries, "log_size", log_size)
    assert await oversight.first_index(request(last_event_id="4"), audit, 2) == 5
    assert await oversight.first_index(request(query="lastEventId=4"), audit) == 5
    assert await oversight.first_index(request(), audit, 2) == 2
    assert await oversight.first_index(request(), audit) == 7
    with pytest.raises(Problem) as raised:
        await oversight.first_index(request(last_event_id="x"), audit)
    assert slug(raised) == (400, "bad-position")


async def test_a_stream_goes_on_with_what_is_appended_meanwhile(
    audit: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oversight, "_POLL_SECONDS", 3600)
    tables = [entry(0), entry(1)]

    async def entries_from(_: object, index: int, limit: int) -> list[EntryView]:
        return tables[index : index + limit]

    monkeypatch.setattr(queries, "entries_from", entries_from)
    events = oversight.follow(audit, Rows(request(), audit.pages.catalogue), 1)
    assert (await anext(events)).id == "1"
    coming = asyncio.ensure_future(anext(events))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not coming.done()
    tables.append(entry(2))
    audit.log_size.notify()
    async with asyncio.timeout(10):
        event = await coming
    assert event.id == "2"
    assert event.raw_data is not None
    assert '"index":2' in event.raw_data
    await events.aclose()


def entry(index: int) -> EntryView:
    moment = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    members: dict[str, Any] = {"source": "/services/routing", "type": "civic.case.dispatched.v1", "event": {}}
    return EntryView(index=index, kind="event", appended=moment, subject=EVENT, **members)


@pytest.mark.parametrize("text", ["", "-1", "x", "٣", "1.5", str(NO_INDEX), "9" * 5000])
def test_what_cannot_be_an_index_is_refused(text: str) -> None:
    with pytest.raises(Problem) as raised:
        oversight.read_index(text)
    assert slug(raised) == (400, "bad-position")


def test_a_trace_goes_on_at_the_index_in_its_cursor() -> None:
    assert traces.read_start(None) == 0
    assert traces.read_start(write_cursor(41)) == 41
    with pytest.raises(Problem):
        traces.read_start(write_cursor(NO_INDEX))
