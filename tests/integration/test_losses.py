"""`civicloom losses` on the services' real tables."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.schema import SECRET, open_service_database
from services import cli
from shared.inbox.topic_losses import EXPIRED, REPLACED, record_loss
from shared.unit_of_work.database import Database


@pytest.fixture
async def routing(database: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    for service in ("publisher", "inquiry", "audit"):
        await (await open_service_database(database, service)).close()  # type: ignore[arg-type]
    opened = await open_service_database(database, "routing", namespace=namespace)
    for name, value in {"DATABASE_URL": database, "TOPIC_NAMESPACE": namespace, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    yield opened
    await opened.close()


async def command(*arguments: str) -> int:
    """On a loop of its own, as in a process of its own."""
    with ThreadPoolExecutor(1) as apart:
        return await asyncio.get_running_loop().run_in_executor(apart, cli.main, list(arguments))


async def test_losses_are_listed_until_somebody_has_looked(
    routing: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("losses", "list") == 0
    assert capsys.readouterr().out == "no losses\n"
    async with routing.transaction() as tx:
        await record_loss(tx, ("routing", "civic.inquiry.v1", 2), EXPIRED, 5, 9)
        await record_loss(tx, ("routing", "civic.inquiry.v1", 2), EXPIRED, 9, 12)
        await record_loss(tx, ("routing", "civic.audit.v1", 0), REPLACED, 7, 3)
    assert await command("losses", "list") == 1
    shown = capsys.readouterr().out
    assert "civic.inquiry.v1/2  offsets 5 to 11 were deleted before they were read, 2 times" in shown
    assert "civic.audit.v1/0  was read up to 7, and then was another log" in shown

    assert await command("losses", "seen", "civic.inquiry.v1", "--operator", "ada") == 0
    assert await command("losses", "seen", "civic.audit.v1", "--json") == 0
    capsys.readouterr()
    assert await command("losses", "list") == 0
    assert capsys.readouterr().out == "no losses\n"
    assert await command("losses", "list", "--all", "--json") == 0
    (_, first) = json.loads(capsys.readouterr().out)
    assert (first["service"], first["seen_by"], first["times"]) == ("routing", "ada", 2)

    assert await command("losses", "seen", "civic.inquiry.v1") == 2
    assert "no loss of civic.inquiry.v1 waits to be looked at" in capsys.readouterr().err
