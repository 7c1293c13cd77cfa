"""Findings that a later step could hide: a copy that ended by itself, a deadlock before a crash."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.installation import Installation
from shared.kafka_access import KafkaAccess
from shared.settings import ServiceName
from tests.chaos.checks import deadlocks


def ends_with_three(_: ServiceName) -> Sequence[str]:
    return (sys.executable, "-c", "print('no more'); raise SystemExit(3)")


def installation(folder: Path, command: Any = ends_with_three) -> Installation:
    return Installation(
        "postgresql://u@h/d", KafkaAccess("h:9092"), folder, services=["inquiry"], command=command
    )


def test_a_copy_that_ended_by_itself_is_reported_though_it_was_started_again(
    tmp_path: Path,
) -> None:
    one = installation(tmp_path)
    for again in (one.start, one.kill, one.start):
        again("inquiry")
        child = one.copy("inquiry").child
        assert child is not None
        child.wait(10)
    first, second = one.ended_by_themselves()
    assert first == second.replace("no more\nno more", "no more") == "inquiry-0 ended with 3\nno more"


async def test_a_copy_that_was_stopped_or_killed_did_not_end_by_itself(tmp_path: Path) -> None:
    one = installation(tmp_path, lambda _: ("sleep", "60"))
    one.start("inquiry")
    one.kill("inquiry")
    one.start("inquiry")
    await one.stop()
    assert one.ended_by_themselves() == []


class Forgetful:
    """A database that has crashed and counts from zero."""

    @asynccontextmanager
    async def tables(self, _: ServiceName) -> AsyncIterator[Any]:
        yield self

    async def fetchval(self, _: str) -> int:
        return 0


async def test_deadlocks_are_found_in_the_logs_when_the_database_has_forgotten_them(tmp_path: Path) -> None:
    one = installation(tmp_path)
    database: Any = Forgetful()
    one.copy("inquiry").log.write_text("partition batch waits")
    assert await deadlocks(one, database) == []
    one.copy("inquiry").log.write_text("partition batch waits: DeadlockDetectedError('deadlock detected')\n")
    assert [violation.invariant for violation in await deadlocks(one, database)] == ["locks"]
