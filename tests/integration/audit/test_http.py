"""HTTP of audit: the public log for everyone, the stream and the list for oversight alone."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from harness.installation import Installation
from services.audit.log.checkpoint import open_checkpoint
from services.audit.log.merkle_proofs import verify_consistency
from services.audit.log.note import Verifier
from services.audit.log.proof import parse_proof
from tests.integration.audit.sample import SampleService, cookie, until
from tests.paths import REPO

pytestmark = pytest.mark.integration

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
async def subject(installation: Installation, sample: SampleService, tables: asyncpg.Connection) -> str:
    """A case with 60 entries, published: more than a page."""
    case = await sample.write(count=60)
    async with httpx.AsyncClient(base_url=installation.url("audit"), timeout=20) as client:
        await published(client, tables, sample)
    return case


async def published(client: httpx.AsyncClient, tables: asyncpg.Connection, sample: SampleService) -> None:
    await logged(tables, sample)

    async def there() -> bool:
        return int((await client.get("/log/checkpoint")).text.split("\n")[1]) >= sample.total

    await until(there, "the checkpoint")


async def logged(tables: asyncpg.Connection, sample: SampleService) -> None:
    async def all_logged() -> bool:
        return bool(await tables.fetchval("SELECT size >= $1 FROM log_head", sample.total))

    await until(all_logged, "everything logged")


@asynccontextmanager
async def stream(client: httpx.AsyncClient, query: str = "", **headers: str) -> AsyncIterator["Stream"]:
    async with client.stream("GET", f"/api/audit/v1/stream{query}", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Stream(response)


class Stream:
    """Server-Sent Events, one after the other."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._lines = response.aiter_lines()

    async def opened(self) -> None:
        assert (await anext(self._lines)).startswith(":")

    async def ended(self) -> None:
        """Returns once the server has ended it."""
        async for _ in self._lines:
            pass

    async def take(self, count: int, seconds: float = 10) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while len(found) < count:
                frame = dict([line.split(": ", 1) async for line in self._frame()])
                if "data" in frame:
                    found.append(json.loads(frame["data"]))
                    assert str(found[-1]["index"]) == frame["id"]
        return found

    async def _frame(self) -> AsyncIterator[str]:
        """The lines up to the next empty one."""
        while line := await anext(self._lines):
            yield line


# ---- the public log ----


async def test_a_stranger_verifies_the_log_over_http(client: httpx.AsyncClient, subject: str) -> None:
    vkey = (await client.get("/log/key")).text.strip()
    ours = [sys.executable, "-m", "services.cli", "audit", "verify", f"{client.base_url}/log", "--key", vkey]
    theirs = [sys.executable, str(REPO / "examples" / "verify.py"), f"{client.base_url}/log", vkey]
    for command in (ours, theirs):
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=REPO)
        assert ran.returncode == 0, ran


async def test_a_receipt_is_proven_by_event_proof_and_key_alone(
    client: httpx.AsyncClient, sample: SampleService, subject: str, tmp_path: Path
) -> None:
    vkey = (await client.get("/log/key")).text.strip()
    event = sample.written[subject][7]
    answer = await client.get(f"/log/proof/{event.id}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{event.id}.tlog-proof"'
    parse_proof(answer.content).verify_event(event.value, Verifier.parse(vkey))
    (tmp_path / "proof").write_bytes(answer.content)
    (tmp_path / "receipt").write_bytes(event.value)
    command = [sys.executable, "-m", "services.cli", "audit", "proof", str(tmp_path / "proof")]
    command += ["--event", str(tmp_path / "receipt"), "--key", vkey]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=REPO)
    assert (ran.returncode, ran.stdout.startswith("proven: ")) == (0, True), ran


async def test_a_reader_of_an_older_checkpoint_is_shown_that_the_log_has_only_grown(
    client: httpx.AsyncClient, sample: SampleService, tables: asyncpg.Connection, subject: str
) -> None:
    verifier = Verifier.parse((await client.get("/log/key")).text.strip())
    old = open_checkpoint((await client.get("/log/checkpoint")).content, verifier)
    await sample.write(count=5)
    await published(client, tables, sample)
    answer = await client.get(f"/log/consistency/{old.size}")
    head, _, note = answer.content.partition(b"\n\n")
    first, *hashes = head.decode().split("\n")
    assert first == f"old {old.size}"
    new = open_checkpoint(note, verifier)
    assert new.size > old.size
    verify_consistency(old.size, new.size, old.root, new.root, [base64.b64decode(line) for line in hashes])
    for size in ("0", str(new.size + 1000), "-1", "x", "01"):
        answer = await client.get(f"/log/consistency/{size}")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "no-such-size")


@pytest.mark.parametrize(
    ("event_id", "slug"),
    [
        ("01a20c91-a000-7ced-98ed-30f4c4d475b3", "not-logged-yet"),
        ("01A20C91-A000-7CED-98ED-30F4C4D475B3", "no-such-event"),
        ("1", "no-such-event"),
        ("%27%3B--", "no-such-event"),
        ("%ff", "no-such-event"),
    ],
)
async def test_an_event_that_is_not_in_the_log_has_no_proof(
    client: httpx.AsyncClient, event_id: str, slug: str
) -> None:
    answer = await client.get(f"/log/proof/{event_id}")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, slug)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "0", "0/", "0/0", "0/0000", "0/000/", "/0/000", "//0/000", "0//000", "64/000", "-1/000"),
        *("0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/x000", "0/999", "0/x001/000"),
        *("%2e%2e/checkpoint", "0/%2e%2e/%2e%2e/checkpoint"),
        *("//etc/passwd", "entries/000%0a", "entries/٠٠٠", "entries/" + "x000/" * 300 + "000", "0" * 5000),
    ],
)
async def test_a_path_that_is_no_tile_is_not_found(
    client: httpx.AsyncClient, subject: str, path: str
) -> None:
    answer = await client.get(f"/log/tile/{path}")
    assert answer.status_code == 404
    assert b"PRIVATE" not in answer.content
    assert b"root:" not in answer.content


async def test_tiles_may_be_cached_forever_and_the_checkpoint_for_a_second(
    client: httpx.AsyncClient, subject: str
) -> None:
    size = int((await client.get("/log/checkpoint")).text.split("\n")[1])
    name = "entries/000" if size >= 256 else f"entries/000.p/{size}"
    assert "immutable" in (await client.get(f"/log/tile/{name}")).headers["cache-control"]
    assert (await client.get("/log/checkpoint")).headers["cache-control"] == "public, max-age=1"


async def test_the_page_of_the_log_shows_key_checkpoint_and_command(
    client: httpx.AsyncClient, subject: str
) -> None:
    vkey = (await client.get("/log/key")).text.strip()
    page = (await client.get("/log", headers={"Accept-Language": "en"})).text
    assert vkey.replace("+", "&#43;") in page or vkey in page
    assert "civicloom audit verify http" in page


# ---- access to the entries ----


@pytest.mark.parametrize("path", ["/api/audit/v1/stream", "/api/audit/v1/entries"])
async def test_entries_are_for_oversight_alone(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers={"Cookie": cookie("officer")})).status_code == 403
    assert (await client.get(path, headers={"Authorization": "Bearer guess"})).status_code == 401


async def test_the_page_asks_to_sign_in_and_refuses_another_role(client: httpx.AsyncClient) -> None:
    browser = {"Accept": "text/html"}
    answer = await client.get("/oversight?subject=x", headers=browser)
    assert answer.status_code in (302, 303, 307)
    assert answer.headers["location"] == "/login?next=%2Foversight%3Fsubject%3Dx"
    answer = await client.get("/oversight", headers=browser | {"Cookie": cookie("officer")})
    assert answer.status_code == 403


# ---- the stream ----


async def test_the_stream_gives_every_entry_from_an_index_on_in_order(
    staff: httpx.AsyncClient, subject: str
) -> None:
    async with stream(staff, "?from=5") as reading:
        assert reading.headers["content-type"].startswith("text/event-stream")
        assert "no-store" in reading.headers["cache-control"]
        assert reading.headers["x-accel-buffering"] == "no"
        entries = await reading.take(50)
    assert [entry["index"] for entry in entries] == list(range(5, 55))
    assert entries[0]["event"]["data"] == {"reason": "no_rule", "attempt": 1}
    assert entries[0]["text"] == "Case waiting to be assigned by a dispatcher"


async def test_a_stream_ends_with_the_session_and_the_reader_that_comes_back_is_asked_to_sign_in(
    installation: Installation, subject: str
) -> None:
    headers = {"cookie": cookie("oversight", seconds=2)}
    async with httpx.AsyncClient(base_url=installation.url("audit"), headers=headers, timeout=20) as client:
        async with asyncio.timeout(10), stream(client) as reading:
            await reading.opened()
            await reading.ended()
        again = await client.get("/api/audit/v1/stream")
    assert again.status_code == 401
    assert again.json()["type"].endswith("sign-in-needed")


async def test_a_script_that_opens_a_new_stream_continues_after_what_it_has_seen(
    staff: httpx.AsyncClient, subject: str
) -> None:
    async with stream(staff, "?from=0&lastEventId=9") as reading:
        assert (await reading.take(1))[0]["index"] == 10


async def test_a_reader_that_comes_back_goes_on_behind_what_it_has_seen(
    staff: httpx.AsyncClient, subject: str
) -> None:
    async with stream(staff, "?from=0") as reading:
        seen = await reading.take(7)
    # A browser repeats the whole address: what it has seen counts, not where it began.
    async with stream(staff, "?from=0", **{"Last-Event-ID": str(seen[-1]["index"])}) as reading:
        assert [entry["index"] for entry in await reading.take(3)] == [7, 8, 9]


async def test_a_subject_that_holds_no_time_ends_no_stream(
    staff: httpx.AsyncClient, sample: SampleService, subject: str
) -> None:
    async with stream(staff) as reading:
        await reading.opened()
        await sample.write("ffffffff-ffff-4fff-bfff-ffffffffffff", count=2)
        assert [entry["number"] for entry in await reading.take(2)] == [None, None]


@pytest.mark.parametrize("copy", [0, 1])
async def test_every_reader_of_every_copy_wakes_when_the_log_grows(
    installation: Installation, sample: SampleService, subject: str, copy: int
) -> None:
    headers = {"Cookie": cookie("oversight")}
    async with httpx.AsyncClient(
        base_url=installation.url("audit", copy), timeout=20, headers=headers
    ) as client:
        readers = [stream(client) for _ in range(3)]
        opened = [await reader.__aenter__() for reader in readers]
        for reading in opened:
            await reading.opened()
        for _ in range(3):
            case = await sample.write()
            found = await asyncio.gather(*(reading.take(1, 5) for reading in opened))
            assert [entries[0]["subject"] for entries in found] == [case] * 3
        for reader in readers:
            await reader.__aexit__(None, None, None)


async def test_a_reader_that_does_not_read_holds_nobody_up(
    staff: httpx.AsyncClient, sample: SampleService, tables: asyncpg.Connection, subject: str
) -> None:
    async with stream(staff, "?from=0"), stream(staff) as reading:
        await reading.opened()
        case = await sample.write(count=200)
        assert {entry["subject"] for entry in await reading.take(200)} == {case}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        *((f"?from={bad}", {}) for bad in ("-1", "x", "1.5", "99999999999999999999", "9007199254740992")),
        *(("", {"Last-Event-ID": bad}) for bad in ("-1", "x", "9" * 20, "9" * 5000, "9007199254740992")),
    ],
)
async def test_a_place_that_cannot_be_is_refused(
    staff: httpx.AsyncClient, query: str, headers: dict[str, str]
) -> None:
    answer = await staff.get(f"/api/audit/v1/stream{query}", headers=headers)
    assert answer.status_code in (400, 422)


# ---- lists ----


async def test_entries_page_without_gap_or_repetition(staff: httpx.AsyncClient, subject: str) -> None:
    query: dict[str, str] = {"subject": subject}
    found: list[int] = []
    while True:
        answer = (await staff.get("/api/audit/v1/entries", params=query)).json()
        found += [int(entry["event"]["sequence"]) for entry in answer["entries"]]
        if answer["next"] is None:
            break
        query["cursor"] = answer["next"]
    assert found == list(range(1, 61))


async def test_a_bad_cursor_or_subject_is_refused(staff: httpx.AsyncClient) -> None:
    for cursor in ("x", "WzFd" * 400, "Wy0xXQ", "WzE4NDQ2NzQ0MDczNzA5NTUxNjE1XQ", "WzEsMl0", "e30"):
        assert (await staff.get(f"/api/audit/v1/entries?cursor={cursor}")).status_code == 400, cursor
    for subject in ("", "a" * 201):
        assert (await staff.get(f"/api/audit/v1/entries?subject={subject}")).status_code == 422
    assert (await staff.get("/api/audit/v1/entries?subject=%00")).status_code == 400
    answer = await staff.get("/api/audit/v1/entries?subject=%ff%27;--")
    assert answer.json() == {"entries": [], "next": None}


async def test_the_page_lists_in_plain_words_with_number_and_link_and_goes_on(
    staff: httpx.AsyncClient, sample: SampleService, tables: asyncpg.Connection, subject: str
) -> None:
    case = await sample.write()
    await logged(tables, sample)
    page = (await staff.get("/oversight")).text
    assert "Case waiting to be assigned by a dispatcher" in page
    assert "civic.case.triaged.v1" in page
    assert f'href="/oversight?subject={case}"' in page
    assert 'data-live="/api/audit/v1/stream?from=' in page
    assert page.count("<li class=") == 51  # 50, and the template of a new one
    older = page.partition('rel="next" href="')[2].partition('"')[0]
    second = (await staff.get(older)).text
    assert "data-live" not in second
    assert "Back to the latest" in second
    chinese = (await staff.get("/oversight?lang=zh")).text
    assert "待派单（由派单员派单）" in chinese


async def test_the_page_of_a_case_lists_its_entries_in_order(
    staff: httpx.AsyncClient, sample: SampleService, subject: str
) -> None:
    page = (await staff.get("/oversight", params={"subject": subject})).text
    assert page.count("<li class=") == 50
    assert "<h1>Case 2026" in page
    following = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await staff.get(following)).text.count("<li class=") == 10
    nothing = (await staff.get("/oversight?subject=nobody")).text
    assert "No entries" in nothing


async def test_what_a_service_emits_is_escaped(
    installation: Installation,
    staff: httpx.AsyncClient,
    sample: SampleService,
    tables: asyncpg.Connection,
    subject: str,
) -> None:
    await sample.write(SCRIPT)
    await logged(tables, sample)
    for page in ("/oversight", f"/oversight?subject={SCRIPT}"):
        text = (await staff.get(page)).text
        assert SCRIPT not in text
        assert "script%3Ealert" in text or "&lt;script&gt;" in text
    values = await tables.fetch(
        "SELECT value FROM log_entry WHERE source IS NOT NULL ORDER BY index DESC LIMIT 1"
    )
    assert orjson.loads(values[0]["value"])["subject"] == SCRIPT
