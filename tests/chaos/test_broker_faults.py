"""What operators, retention and power cuts do to a broker: no acknowledged case is lost in silence.

Each test loads a city, does its faults with load after each, and lets it come to rest. What was lost by then
must be named; then `civicloom resend` brings it back, and every acknowledged case is whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from deploy.local.pair import Pair, temporary_folder
from harness.broker_faults import BrokerFaults
from harness.history import Violation
from harness.whereabouts import Whereabouts, check_named, check_whole, whereabouts
from services.audit.log.queries import open_refusals
from services.audit.log.resume import resume
from services.lost_contacts import find_lost_contacts
from services.lost_offers import find_lost_offers
from services.resend import find_lost
from shared.clock import machine_now
from shared.settings import CoreSettings, ServiceName
from shared.unit_of_work.database import Database
from shared.unit_of_work.sent import send_again
from tests.chaos.length import SEED
from tests.chaos.run import ChaosRun, chaos_run
from tests.waiting import running

pytestmark = pytest.mark.chaos
WARM = 25
REST = 90.0
Fault = Callable[[ChaosRun, BrokerFaults], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A broker of the module's own: what is rewound has forgotten all others."""
    with temporary_folder() as folder, Pair(folder) as started:
        yield started


@dataclass(slots=True)
class Aftermath:
    """A city at rest after its fault."""

    city: ChaosRun
    broker: BrokerFaults

    async def whereabouts(self) -> list[Whereabouts]:
        cases = [case.id for case in self.city.citizens.cases.values()]
        return await whereabouts(self.city.observation, cases)

    async def without_address(self) -> tuple[set[str], set[str]]:
        """The cases with letters that wait for an address, and those that publisher names for it."""
        async with self.city.observation.tables("publisher") as tables:
            waiting = await tables.fetch("SELECT DISTINCT subject FROM delivery WHERE state = 'waiting'")
            named = await tables.fetch("SELECT subject FROM expectation WHERE kind = 'contact'")
        return {row["subject"] for row in waiting}, {row["subject"] for row in named}

    async def without_intake(self) -> set[str]:
        """The cases whose intake publisher has not read, so that their citizens get no notices."""
        async with self.city.observation.tables("publisher") as tables:
            rows = await tables.fetch("SELECT subject FROM expectation WHERE kind = 'intake'")
        return {row["subject"] for row in rows}

    async def resend(self) -> int:
        """`civicloom resend` for each service; how many events were sent again."""
        sent = 0
        audit = await self._open("audit")
        for service in ("inquiry", "routing", "publisher"):
            owner = await self._open(service)
            ever = machine_now().replace(year=2000)
            found = [await find_lost(owner, audit, ever)]
            if service == "inquiry":
                found.append(await find_lost_contacts(owner, ever))
            elif service == "routing":
                found += await find_lost_offers(owner, ever)
            for lost in found:
                await send_again(owner, lost.topic, lost.found)
                sent += len(lost.found)
            await owner.close()
        await audit.close()
        await self.city.observation.settle(REST)
        return sent

    async def _open(self, service: ServiceName) -> Database:
        copy = self.city.installation.copy("inquiry")
        environment = self.city.installation.environment(copy)
        return await Database.open(
            CoreSettings(
                service=service,
                database_url=environment["DATABASE_URL"],
                **self.city.installation.access.settings(),
                topic_namespace=environment["TOPIC_NAMESPACE"],
                secret_key=environment["SECRET_KEY"],
            )
        )


@asynccontextmanager
async def aftermath(pair: Pair, folder: Path, faults: Sequence[Fault]) -> AsyncIterator[Aftermath]:
    async with chaos_run(pair, folder, Random(SEED)) as city:
        broker = BrokerFaults(city.installation, pair.kafka)
        async with running(lambda: resume_the_log(city)), city.at_work(rest_seconds=REST):
            await city.asked(WARM)
            for fault in faults:
                await fault(city, broker)
                await city.asked(len(city.citizens.cases) + WARM)
        yield Aftermath(city, broker)


async def resume_the_log(city: ChaosRun) -> None:
    """What `civicloom audit resume` does, by an operator who is quick: a log that was exchanged stands."""
    while True:
        await asyncio.sleep(1)
        with suppress(asyncpg.PostgresError, OSError):
            connection = await asyncpg.connect(
                city.installation.database_url, timeout=5, server_settings={"search_path": "audit"}
            )
            try:
                for refusal in await open_refusals(connection):
                    partition = (refusal.topic, refusal.partition)
                    await resume(connection, partition, operator="me", reason="the topic was made again")
            finally:
                await connection.close()


async def make_inquiry_again(_: ChaosRun, broker: BrokerFaults) -> None:
    await broker.make_again([broker.topic("inquiry")])


async def make_routing_again(_: ChaosRun, broker: BrokerFaults) -> None:
    await broker.make_again([broker.topic("routing")])


async def make_units_topics_again(city: ChaosRun, broker: BrokerFaults) -> None:
    units = city.installation.units[:3]
    await broker.make_again(
        [broker.topic("department", units[0]), *(broker.topic("actions", unit) for unit in units)]
    )


async def lose_the_end(city: ChaosRun, broker: BrokerFaults) -> None:
    """With all readers alive."""
    broker.keep_a_copy()
    await city.asked(len(city.citizens.cases) + WARM)
    broker.rewind()


async def lose_the_end_while_routing_is_away(city: ChaosRun, broker: BrokerFaults) -> None:
    """Routing comes back when the topic has grown past its old cursors."""
    broker.keep_a_copy()
    await city.asked(len(city.citizens.cases) + WARM)
    broker.stop_readers("routing")
    broker.rewind()
    await city.asked(len(city.citizens.cases) + 2 * WARM)
    broker.start_readers("routing")


async def delete_unread(city: ChaosRun, broker: BrokerFaults) -> None:
    """Retention takes what routing and audit have not read."""
    broker.stop_readers("routing", "audit")
    await city.asked(len(city.citizens.cases) + WARM)
    await broker.delete_up_to_the_end(broker.topic("inquiry"))
    broker.start_readers("routing", "audit")


async def widen_behind_a_reader(city: ChaosRun, broker: BrokerFaults) -> None:
    """Partitions are added by hand while readers are away."""
    broker.stop_readers("routing", "audit")
    await city.asked(len(city.citizens.cases) + WARM)
    await broker.widen(broker.topic("inquiry"), 11)
    await city.asked(len(city.citizens.cases) + WARM)
    broker.start_readers("routing", "audit")


TOGETHER: Mapping[str, Sequence[Fault]] = {
    "topics made again": (make_inquiry_again, make_routing_again, make_units_topics_again),
    "unread and deleted, or elsewhere": (delete_unread, widen_behind_a_reader),
    "the end lost": (lose_the_end, lose_the_end_while_routing_is_away),
}
"""Faults that share a city: none of them needs what another one has broken."""


@pytest.mark.parametrize("name", TOGETHER)
async def test_no_case_is_lost_in_silence(
    pair: Pair, folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with aftermath(pair, folder, TOGETHER[name]) as after:
        found = await after.whereabouts()
        lost = [one for one in found if not one.is_whole]
        silent = check_named(found)
        waiting, named = await after.without_address()
        unread = await after.without_intake()
        sent = await after.resend()
        left = check_whole(await after.whereabouts())
        with capsys.disabled():
            print(  # noqa: T201  (what was lost and brought back is worth a line)
                f"\n{name}: {len(found)} cases, {len(lost)} not whole, {len(silent)} in silence,"
                f" {sent} events sent again, {len(left)} left; {len(waiting)} without their address,"
                f" {len(unread)} without notices"
            )
        not_addressed, _ = await after.without_address()
        not_read = await after.without_intake()
    assert _texts(after.city.unrest) == []
    assert _texts(silent) == []
    assert _texts(left) == []
    assert waiting <= named
    assert not_addressed == set()
    assert not_read == set()


def _texts(violations: list[Violation]) -> list[str]:
    return [str(one) for one in violations][:10]
