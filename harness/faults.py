"""Faults to inject into a running installation, one at a time, each repaired before the next where possible.

The installation must survive them; `harness.history` and `harness.at_rest` check whether it did.
"""

import asyncio
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  (seeded: a run can be repeated)
from typing import Any, Protocol

import asyncpg
import orjson

from harness.driver import write_clock
from harness.installation import Copy, Installation
from harness.observation import Observation
from harness.proxy import Proxy
from harness.resource_faults import ResourceFaults
from shared.clock import FileClock, machine_now
from shared.contracts.addresses import topic_name
from shared.ids import new_id
from shared.infrastructure import is_infrastructure
from shared.kafka.client import KafkaError, Producer, Reader
from shared.kafka.records import RawRecord
from shared.logs import get_logger
from shared.settings import ServiceName

log = get_logger(__name__)
_MOST_SENT_AGAIN = 1200
_CONSUMERS: tuple[ServiceName, ...] = ("inquiry", "routing", "publisher")
Fault = Callable[..., Coroutine[Any, Any, None]]


class Server(Protocol):
    """A server of the pair, with the methods that faults need."""

    def kill(self) -> None: ...

    def start(self) -> object: ...

    def restart(self) -> None: ...


@dataclass(slots=True)
class Injected:
    """What was injected: `poison` are the subjects of records that no handler can apply, by logical topic.

    `since_ms` is when the first fault began, in milliseconds since 1970. `given_up`: an operator has
    discarded all of it.
    """

    poison: dict[str, set[str]] = field(default_factory=dict)
    since_ms: int | None = None
    given_up: bool = False


class Faults:
    """Injects faults and counts them. `broker` and `database` are None if they must not be broken, the
    networks to them if no proxy stands there, and `resources` if nothing is to become short.

    A server is started and stopped in the event loop's thread, which blocks it: a server ends with the thread
    that started it.
    """

    def __init__(
        self,
        installation: Installation,
        observation: Observation,
        random: Random,
        *,
        broker: Server | None = None,
        database: Server | None = None,
        broker_network: Proxy | None = None,
        database_network: Proxy | None = None,
        resources: ResourceFaults | None = None,
    ) -> None:
        self.injected = Injected()
        self.counts: dict[str, int] = {}
        self._installation = installation
        self._observation = observation
        self._random = random
        self._broker = broker
        self._database = database
        self._broker_network = broker_network
        self._database_network = database_network
        self._resources = resources
        self._producer = Producer(installation.access, "faults")

    @property
    def all(self) -> dict[str, Fault]:
        """Every fault that can be injected here, by name."""
        faults: list[Fault] = [
            self.kill_a_copy,
            self.kill_a_whole_service,
            self.kill_amid_work,
            self.pause_a_copy,
            self.own_twice,
            self.cut_sessions,
            self.send_again,
            self.pile_up,
            self.send_noise,
            self.send_poison,
        ]
        if self._installation.clock_file:
            faults += [self.jump, self.jump_past_deadlines]
        if self._broker:
            faults += [self.restart_broker, self.kill_broker]
        if self._database:
            faults += [self.restart_database, self.kill_database]
        if self._broker_network:
            faults += [self.lose_broker_network]
        if self._database_network:
            faults += [self.lose_database_network]
        if self._resources:
            faults += self._resources.all
        return {fault.__name__: fault for fault in faults}

    async def inject(self, name: str, *how: Any) -> None:
        """Injects one; repeats it while what it needs is still away after an earlier fault."""
        fault = self.all[name]
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.injected.since_ms is None:
            self.injected.since_ms = int(machine_now().timestamp() * 1000)
        log.info("fault", name=name)
        async with asyncio.timeout(300):
            while True:
                try:
                    return await fault(*how)
                except Exception as error:
                    if not (
                        is_infrastructure(error) or isinstance(error, KafkaError | asyncpg.PostgresError)
                    ):
                        raise
                    await asyncio.sleep(0.5)

    async def close(self) -> None:
        await self._producer.stop()

    async def kill_a_copy(self) -> None:
        """SIGKILL at any moment, then a start, as a supervisor would do."""
        copy = self._any_copy()
        self._installation.kill(copy.service, copy.number)
        await self._pause(0, 1)
        self._installation.start(copy.service, copy.number)

    async def kill_a_whole_service(self) -> None:
        """SIGKILL to all copies of a service at once."""
        service = self._any_service()
        self._kill_all(service)
        await self._pause(0, 1)
        self._start_all(service)

    async def kill_amid_work(self, service: ServiceName | None = None) -> None:
        """SIGKILL to all copies of a service while their transactions wait for a lock."""
        service = service or self._any_service()
        async with self._stalled(service):
            await self._pause(1, 2)
            self._kill_all(service)
        self._start_all(service)

    async def pause_a_copy(self) -> None:
        """SIGSTOP for longer than the session timeouts, so that the copy wakes as a zombie."""
        copy = self._any_copy()
        self._installation.pause(copy.service, copy.number)
        await self._pause(2, 6)
        self._installation.resume(copy.service, copy.number)

    async def own_twice(self, service: ServiceName | None = None) -> None:
        """Restarts the last copy of a service in a consumer group of its own, or back in the common one."""
        service = service or self._any_service()
        copy = self._copies_of(service)[-1]
        self._installation.kill(service, copy.number)
        copy.is_rival = not copy.is_rival
        self._installation.start(service, copy.number)

    async def cut_sessions(self) -> None:
        """`pg_terminate_backend` of some sessions of the services, whatever they are doing."""
        await self._installation.cut_sessions(0.6)

    async def lose_database_network(self, seconds: float = 8) -> None:
        """Nobody hears of the database; afterwards new connections work, and the old ones never end."""
        assert self._database_network is not None  # noqa: S101
        await _lost_for(self._database_network, seconds)

    async def lose_broker_network(self, seconds: float = 8) -> None:
        """Likewise the broker."""
        assert self._broker_network is not None  # noqa: S101
        await _lost_for(self._broker_network, seconds)

    async def restart_broker(self) -> None:
        assert self._broker is not None  # noqa: S101
        self._broker.restart()

    async def kill_broker(self) -> None:
        assert self._broker is not None  # noqa: S101
        await self._killed_for_a_while(self._broker)

    async def restart_database(self) -> None:
        assert self._database is not None  # noqa: S101
        self._database.restart()

    async def kill_database(self) -> None:
        assert self._database is not None  # noqa: S101
        await self._killed_for_a_while(self._database)

    async def jump(self) -> None:
        """Business time jumps forward by hours or back by minutes."""
        self._move_clock(self._random.choice([-30, -5, 60, 240]))

    async def jump_past_deadlines(self) -> None:
        """Jumps past the two hours of an urgent case, whether its reply is on its way or not."""
        self._move_clock(150)

    async def send_again(self) -> None:
        """Sends old records once more, late and shuffled, as relays do after a crash."""
        topics = self._observation.topics
        await self._send_again({*self._random.sample(topics, 8), *topics[:5]}, share=0.3)

    async def pile_up(self, service: ServiceName | None = None) -> None:
        """Sends a service all records again while its transactions wait: then it applies them all at once."""
        reader = self._random.choice(_CONSUMERS) if service is None else service
        async with self._stalled(reader):
            await self._send_again(self._observation.read_by(reader), share=1)
            await self._pause(0.5, 1)

    async def send_noise(self) -> None:
        """Sends bytes that are no event to topics that services and units write to."""
        unit = self._random.choice(self._installation.units)
        names = [
            topic_name(self._installation.namespace, name) for name in ("inquiry", "routing", "publisher")
        ]
        names.append(topic_name(self._installation.namespace, "actions", unit))
        await self._send([(topic, b"noise", b"\xff\x00" + secrets.token_bytes(20), None) for topic in names])

    async def send_poison(self) -> None:
        """Sends a valid envelope around data that no handler can read; it says that a notice is wanted."""
        for logical, kind in (("inquiry", "inquiry.received"), ("routing", "assignment.signed")):
            subject = new_id(machine_now())
            event = {
                "specversion": "1.0",
                "type": f"civic.{kind}.v1",
                "id": new_id(machine_now()),
                "source": f"/services/{logical}",
                "subject": subject,
                "time": machine_now(),
                "sequence": "0000000001",
                "epoch": 1,
                "correlationid": subject,
                "salt": secrets.token_urlsafe(16),
                "data": {"unit": "NO SUCH UNIT", "number": 7, "has_contact": True},
            }
            topic = topic_name(self._installation.namespace, logical)
            await self._send([(topic, subject.encode(), orjson.dumps(event), None)])
            self.injected.poison.setdefault(logical, set()).add(subject)

    def _move_clock(self, minutes: int) -> None:
        clock_file = self._installation.clock_file
        assert clock_file is not None  # noqa: S101
        write_clock(clock_file, FileClock(clock_file).now() + dt.timedelta(minutes=minutes))

    def _any_copy(self) -> Copy:
        return self._random.choice(self._installation.copies)

    def _any_service(self) -> ServiceName:
        return self._random.choice(self._installation.services)

    def _copies_of(self, service: ServiceName) -> list[Copy]:
        return [copy for copy in self._installation.copies if copy.service == service]

    def _kill_all(self, service: ServiceName) -> None:
        for copy in self._copies_of(service):
            self._installation.kill(service, copy.number)

    def _start_all(self, service: ServiceName) -> None:
        for copy in self._copies_of(service):
            self._installation.start(service, copy.number)

    async def _killed_for_a_while(self, server: Server) -> None:
        """The start happens even if the run is cancelled meanwhile: other tests need the server too."""
        server.kill()
        try:
            await self._pause(0, 2)
        finally:
            server.start()

    @asynccontextmanager
    async def _stalled(self, service: ServiceName) -> AsyncIterator[None]:
        """While the body runs, every transaction that locks or creates an aggregate of the service waits."""
        connection = await asyncpg.connect(self._installation.database_url, timeout=5)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {service}.aggregate IN SHARE MODE")
                yield
        finally:
            await connection.close()

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(least, most))

    async def _send_again(self, topics: Collection[str], *, share: float) -> None:
        reader = Reader(self._installation.access, "faults", sorted(topics))
        await reader.start({})
        records: list[RawRecord] = []
        try:
            there = min(sum((await reader.ends()).values()), _MOST_SENT_AGAIN)
            while len(records) < there:
                records += await reader.read(400, 300)
        finally:
            await reader.stop()
        rows = [
            (record.topic, record.key, record.value, record.header("words"))
            for record in records
            if record.key is not None and record.value is not None and record.value[:1] == b"{"
        ]
        chosen = [row for row in rows if self._random.random() < share]
        self._random.shuffle(chosen)
        await self._send([(t, k, v, w) for t, k, v, w in chosen if k is not None and v is not None])

    async def _send(self, rows: list[tuple[str, bytes, bytes, bytes | None]]) -> None:
        """Returns when the broker has taken every row; a row in doubt is sent again."""
        waiting = rows
        while waiting:
            try:
                outcome = await self._producer.publish(waiting)
                if outcome.failed:
                    await self._producer.renew()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.5)
                continue
            sent = {index for index, _ in outcome.sent}
            waiting = [row for index, row in enumerate(waiting) if index not in sent]


async def _lost_for(network: Proxy, seconds: float) -> None:
    network.lose_network()
    try:
        await asyncio.sleep(seconds)
    finally:
        network.mend()
