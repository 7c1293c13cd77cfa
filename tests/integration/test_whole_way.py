"""One concern from citizen to department to the signed log and back, through the real processes.

The department is `examples/department.py`, the mailbox an SMTP sink, the verifier the command line.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiosmtpd.controller import Controller

from deploy.local.pair import Pair
from deploy.local.ports import free_port
from deploy.local.process import spawn
from harness.installation import Installation
from services.cli import main as civicloom
from tests.paths import REPO
from tests.waiting import until

SERVICE = "municipal-street-light"
UNIT = "urban-management"


class Mailbox:
    """What an SMTP server got."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox() -> Any:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture(scope="module")
async def city(
    pair: Pair, mailbox: tuple[Mailbox, int], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("city")
    environment = {"SMTP_URL": f"smtp://127.0.0.1:{mailbox[1]}"}
    async with Installation(pair.database_url, pair.access, folder, environment=environment) as running:
        script = str(REPO / "examples" / "department.py")
        arguments = [pair.access.bootstrap, UNIT, "--namespace", running.namespace, "--seconds", "0.1"]
        department = spawn("department", [sys.executable, script, *arguments], log=folder / "department.log")
        yield running
        department.stop()


class Citizen:
    """Uses the public API with number and secret."""

    def __init__(self, city: Installation, http: httpx.AsyncClient) -> None:
        self.base = city.url("inquiry") + "/api/inquiry/v1/inquiries"
        self.http = http
        self.case: dict[str, Any] = {}

    async def ask(self, **more: Any) -> None:
        body = {
            "title": "路灯不亮",
            "text": "小区东门第三盏路灯两天没有亮了，晚上看不清台阶。😟",
            "kind": "complaint",
            "service_code": SERVICE,
            **more,
        }
        answer = await self.http.post(
            self.base, json=body, headers={"Idempotency-Key": f"ask-{id(self)}-000"}
        )
        assert answer.status_code == 201, answer.text
        self.case = answer.json()

    async def look(self) -> dict[str, Any]:
        answer = await self.http.get(f"{self.base}/{self.case['number']}", headers=self.secret)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    async def reaches(self, state: str, cycle: int = 1) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            found = await self.look()
            return found if (found["state"], found["cycle"]) == (state, cycle) else None

        return await until(there)

    async def say(self, what: str, **body: Any) -> httpx.Response:
        headers = {**self.secret, "Idempotency-Key": f"{what}-{id(self)}-{len(json.dumps(body))}"}
        return await self.http.post(f"{self.base}/{self.case['number']}/{what}", json=body, headers=headers)

    @property
    def secret(self) -> dict[str, str]:
        return {"X-Case-Secret": self.case["secret"]}


@pytest.fixture
async def citizen(city: Installation) -> AsyncIterator[Citizen]:
    async with httpx.AsyncClient(timeout=20) as http:
        yield Citizen(city, http)


async def test_a_concern_is_asked_dispatched_signed_answered_rated_and_logged(
    city: Installation, citizen: Citizen, mailbox: tuple[Mailbox, int], tmp_path: Path
) -> None:
    await citizen.ask(contact={"name": "王女士", "email": "wang@example.org"})
    replied = await citizen.reaches("replied")
    assert replied["lead"] == UNIT
    rated = await citizen.say("evaluation", contacted=True, solved="yes", rating=5)
    assert rated.status_code in {200, 201}, rated.text
    await citizen.reaches("closed")

    async def notified() -> bool:
        mails = [mail for mail in mailbox[0].mails if "wang@example.org" in str(mail["To"])]
        return len(mails) >= 3

    await until(notified)
    mine = [mail for mail in mailbox[0].mails if "wang@example.org" in str(mail["To"])]
    assert len({mail["Message-ID"] for mail in mine}) == len(mine)
    assert all(citizen.case["number"] in mail.get_content() for mail in mine)
    assert not any("路灯" in str(mail["Subject"]) for mail in mine)

    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(citizen.case["receipt"]["value"].encode())
    log = city.url("audit")
    async with httpx.AsyncClient(timeout=20) as http:

        async def proven() -> str | None:
            answer = await http.get(log + citizen.case["receipt"]["proof"])
            return answer.text if answer.status_code == 200 else None

        proof = await until(proven)
        assert proof.startswith("c2sp.org/tlog-proof@v1\n")
        key = (await http.get(f"{log}/log/key")).text.strip()

    # Citizen, dispatch, delivery, signature, proposal, answer, its results, evaluation: all of it is there.
    database = await asyncpg.connect(city.database_url)
    try:

        async def logged() -> set[str]:
            rows = await database.fetch(
                "SELECT type FROM audit.log_entry JOIN audit.log_subject ON no = subject_no"
                " WHERE subject = $1",
                citizen.case["id"],
            )
            types = {row["type"].split(".", 1)[1] for row in rows}
            return types if "inquiry.closed.v1" in types and "push.notice_sent.v1" in types else set()

        assert await until(logged) >= {
            "inquiry.received.v1",
            "case.dispatched.v1",
            "delivery.succeeded.v1",
            "assignment.signed.v1",
            "assignment.reply_proposed.v1",
            "inquiry.replied.v1",
            "inquiry.closed.v1",
        }
    finally:
        await database.close()
    assert await asyncio.to_thread(civicloom, ["audit", "verify", f"{log}/log", "--key", key]) == 0


async def test_an_unsolved_concern_comes_back_to_the_department_with_a_new_deadline(citizen: Citizen) -> None:
    await citizen.ask()
    first = await citizen.reaches("replied")
    await citizen.say("evaluation", contacted=False, solved="no", rating=1, comment="灯还是不亮。")
    second = await citizen.reaches("replied", cycle=2)
    assert second["due"] != first["due"]
    await citizen.say("evaluation", contacted=True, solved="yes", rating=4)
    await citizen.reaches("closed", cycle=2)


async def test_an_erased_inquiry_loses_its_words_everywhere_and_the_log_still_verifies(
    city: Installation, citizen: Citizen
) -> None:
    words = "只有我知道的一句话：紫色的长颈鹿"
    await citizen.ask(text=words, contact={"email": "zhang@example.org"})
    await citizen.reaches("replied")
    database = await asyncpg.connect(city.database_url)
    try:
        assert len(await holders(database, words, "zhang@example.org")) >= 2
        erased = await citizen.say("erasure", basis="citizen_request")
        assert erased.status_code in {200, 201, 202}, erased.text

        async def gone() -> bool:
            found = await database.fetchval(
                "SELECT count(*) FROM audit.log_subject WHERE subject = $1 AND key IS NULL",
                citizen.case["id"],
            )
            return bool(found) and not await holders(database, words, "zhang@example.org")

        await until(gone)
    finally:
        await database.close()


async def holders(database: asyncpg.Connection, *texts: str) -> list[str]:
    """Every table of every service in which one of the texts still stands in plain sight."""
    tables = await database.fetch(
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
        " WHERE table_schema IN ('inquiry', 'routing', 'publisher', 'audit') AND table_type = 'BASE TABLE'"
    )
    found = []
    for row in tables:
        name = f'"{row["s"]}"."{row["t"]}"'
        rows = await database.fetch(f"SELECT * FROM {name}")
        plain = "\n".join(str(list(one.values())) for one in rows)
        raw = b"\n".join(value for one in rows for value in one.values() if isinstance(value, bytes))
        if any(text in plain or text.encode() in raw for text in texts):
            found.append(name)
    return found
