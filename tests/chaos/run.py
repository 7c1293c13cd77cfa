"""One chaos run: citizens and departments on four real services in two copies each, and its checks."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import httpx

from deploy.local.pair import Pair
from harness.city import Citizens, Departments
from harness.driver import write_clock
from harness.faults import Faults
from harness.history import History, Violation
from harness.installation import Command, Installation, NotReady, as_shipped
from harness.letters import send_letters
from harness.observation import NotQuiet, Observation
from harness.proxy import Proxy
from harness.resource_faults import Disks, ResourceFaults
from shared.clock import FileClock
from tests.chaos.checks import check_run
from tests.chaos.length import RESOURCE_SECONDS
from tests.chaos.memory import check_memory, resident
from tests.chaos.operator import check_given_up, give_up
from tests.integration.publisher.sinks import MailSink, mail_sink

MONDAY = dt.datetime(2026, 11, 23, 2, tzinfo=dt.UTC)
CITIZENS = 4


@dataclass(slots=True)
class ChaosRun:
    """The parts of a run. `memory` is that of each copy at its start, `unrest` what was wrong before."""

    installation: Installation
    observation: Observation
    citizens: Citizens
    departments: Departments
    faults: Faults
    clock: Path
    mail: MailSink
    memory: Mapping[str, int] = field(default_factory=dict)
    unrest: list[Violation] = field(default_factory=list)
    departments_lose_network: bool = False

    @asynccontextmanager
    async def at_work(self, *, rest_seconds: float) -> AsyncIterator[None]:
        """Citizens, departments and the clock go on for as long as the body; then all comes to rest.

        If one of them fails the body is ended, and if the body fails they are: either way with its error.
        """
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(self.departments.run())
            asking = [group.create_task(_ask(self.citizens, stop)) for _ in range(CITIZENS)]
            moving = group.create_task(_time_goes_on(self.clock, stop))
            yield
            stop.set()
            await self._come_to_rest([*asking, moving], rest_seconds)
            playing.cancel()

    async def asked(self, cases: int) -> None:
        """Returns when so many cases were taken in. Raises TimeoutError after three minutes."""
        async with asyncio.timeout(180):
            while len(self.citizens.cases) < cases:
                await asyncio.sleep(0.05)

    async def check(self) -> tuple[History, list[Violation]]:
        """Everything that is wrong, and the history that shows it."""
        letters = Counter(identifier.strip("<>").partition("@")[0] for identifier in self.mail.ids())
        history, found = await check_run(
            self.installation, self.observation, self.citizens, self.faults.injected, letters
        )
        return history, self.unrest + found + check_memory(self.memory, resident(self.installation))

    async def check_after_discards(self) -> list[Violation]:
        """What is wrong once an operator has replayed and then discarded all that could not be applied."""
        discarded = await give_up(self.installation, self.observation)
        self.faults.injected.given_up = True
        history, found = await self.check()
        return found + check_given_up(history, discarded)

    async def _come_to_rest(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        """Bounded: what does not end, does not come back or does not settle is a finding, not a hang."""
        _, waiting = await asyncio.wait(tasks, timeout=seconds)
        if waiting:
            self.unrest.append(Violation("I6", f"{len(waiting)} citizens wait for an answer"))
            for task in waiting:
                task.cancel()
        try:
            await self.installation.ready(seconds=seconds)
        except NotReady as error:
            self.unrest.append(Violation("alive", str(error)))
        try:
            await self._settle(seconds)
            await send_letters(self.installation, seconds)
            await self._settle(seconds)
        except NotQuiet as error:
            self.unrest.append(Violation("I6", f"it does not come to rest: {error}"))

    async def _settle(self, seconds: float) -> None:
        """Returns when services and departments rest. Raises NotQuiet.

        Departments whose connection was lost come back as late as theirs does, and act then on all that was
        offered or came due meanwhile: until then services that wait for them look at rest.
        """
        if not self.departments_lose_network:
            await self.observation.settle(seconds)
            return
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            ends = await self.observation.ends()
            if self.departments.rest_at(ends):
                await self.observation.settle(seconds)
                if ends == await self.observation.ends():
                    return
            await asyncio.sleep(0.2)
        raise NotQuiet("the departments do not rest")


@asynccontextmanager
async def chaos_run(
    pair: Pair,
    folder: Path,
    random: Random,
    command: Command = as_shipped,
    *,
    environment: Mapping[str, str] | None = None,
    database_network: Proxy | None = None,
    broker_network: Proxy | None = None,
    resources: bool = False,
    disks: Disks | None = None,
) -> AsyncIterator[ChaosRun]:
    """A run whose services are ready; everything is closed at the end.

    `environment` is added to that of the services. A proxy stands before the server that it is named for; the
    broker's has to be the address that the broker gives to its clients. With `resources` there are faults by
    which memory and the like become short, and `disks` full.
    """
    clock = folder / "clock"
    write_clock(clock, MONDAY)
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(mail_sink())
        access = pair.access
        if broker_network is not None:
            access = replace(access, bootstrap=f"127.0.0.1:{broker_network.port}")
        installation = await stack.enter_async_context(
            Installation(
                pair.database_url,
                access,
                folder,
                copies=2,
                clock_file=clock,
                environment={"SMTP_URL": mail.url, **(environment or {})},
                database_port=database_network and database_network.port,
                command=command,
            )
        )
        observation = await stack.enter_async_context(Observation(installation))
        faults = Faults(
            installation,
            observation,
            random,
            broker=None if broker_network else pair.kafka,
            database=pair.postgres,
            broker_network=broker_network,
            database_network=database_network,
            resources=_resource_faults(installation, random, pair, disks) if resources else None,
        )
        stack.push_async_callback(faults.close)
        departments = Departments(installation, installation.units, late=True)
        citizens = Citizens(installation, random)
        run = ChaosRun(
            installation, observation, citizens, departments, faults, clock, mail, resident(installation)
        )
        run.departments_lose_network = broker_network is not None
        yield run


def _resource_faults(
    installation: Installation, random: Random, pair: Pair, disks: Disks | None
) -> ResourceFaults:
    return ResourceFaults(
        installation,
        random,
        seconds=RESOURCE_SECONDS,
        broker=pair.kafka,
        database=pair.postgres,
        disks=disks,
    )


async def _ask(citizens: Citizens, stop: asyncio.Event) -> None:
    """Sends one concern after another, and now and then rates an older case."""
    async with httpx.AsyncClient(timeout=10) as client:
        while not stop.is_set():
            await citizens.ask(client)
            waiting = [case for case in citizens.cases.values() if case.id not in citizens.evaluated]
            if waiting and citizens.random.random() < 0.5:
                solved = citizens.random.choice(["yes", "yes", "no"])
                await citizens.evaluate(client, citizens.random.choice(waiting), solved)
            await asyncio.sleep(0.1)


async def _time_goes_on(clock: Path, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(0.25)
        write_clock(clock, FileClock(clock).now() + dt.timedelta(seconds=0.25))
