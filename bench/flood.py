"""A flood of junk on one unit's actions topic: how long the offers of all other units take to be signed."""

import asyncio
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import httpx
import orjson

from bench.sample import Samples
from bench.stage import Stage
from bench.whole import Failed, Tell
from harness.city import Citizens, Departments
from shared.clock import machine_now
from shared.contracts.addresses import topic_name
from shared.contracts.routing import AssignmentSigned, CaseDispatched
from shared.ids import new_id
from shared.kafka.client import Producer
from shared.kafka_access import KafkaAccess

RATE = 5.0
LIMIT_SECONDS = 5.0
_BEFORE_SECONDS = 60.0
_AFTER_SECONDS = 120.0
_BATCH = 2000
_SETTLE_SECONDS = 30.0

_ENTRIES = """
SELECT type, value FROM audit.log_entry WHERE kind = 'event' AND type = ANY($1::text[]) ORDER BY index
"""
_STATE = """
SELECT (SELECT count(*) FROM routing.dead_letter) AS letters,
       (SELECT coalesce(sum(next_offset), 0) FROM routing.cursor WHERE topic = $1)::bigint AS read,
       (SELECT count(*) FROM routing.flood WHERE paused_until > now()) AS paused
"""


@dataclass(frozen=True, slots=True)
class Signing:
    """From dispatch to signature in seconds, of so many offers."""

    offers: int
    p50: float
    p99: float
    most: float
    late: int
    """Those that took longer than LIMIT_SECONDS."""

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        if not seconds:
            raise Failed("nothing was signed")
        found = sorted(seconds)
        late = sum(one > LIMIT_SECONDS for one in found)
        return cls(len(found), found[len(found) // 2], found[int(len(found) * 0.99)], found[-1], late)


@dataclass(frozen=True, slots=True)
class Flood:
    """What `records` of junk came to: others' signatures before them and from the first one on.

    `read` of them were read by routing by the end, `letters` are its dead letters.
    """

    records: int
    sent_seconds: float
    read: int
    letters: int
    before: Signing
    during: Signing


async def run_flood(on: Stage, records: int, rate: float, tell: Tell) -> Flood:
    """Citizens ask at `rate` before the flood, during it and for two minutes after its last record.

    Raises Failed if the unit's partition was not paused, since then it was no flood.
    """
    here = on.installation
    flooded = here.units[0]
    topic = topic_name(here.namespace, "actions", flooded)
    city = Citizens(here, Random(1))
    units = asyncio.create_task(Departments(here, here.units, replies=False).run())
    citizens = asyncio.create_task(_citizens(on, city, rate))
    try:
        await asyncio.sleep(_BEFORE_SECONDS)
        began = machine_now().timestamp()
        seconds = await _send_junk(here.access, topic, records, tell)
        paused = await _wait(on, topic, citizens, tell)
    finally:
        citizens.cancel()
        await asyncio.sleep(_SETTLE_SECONDS)
        units.cancel()
        await asyncio.gather(units, citizens, return_exceptions=True)
    if not paused:
        raise Failed(f"{topic} was never paused")
    state = await on.connection.fetchrow(_STATE, topic)
    assert state is not None
    before, during = _signings(await _entries(on), began, flooded)
    return Flood(records, seconds, state["read"], state["letters"], Signing.of(before), Signing.of(during))


async def _citizens(on: Stage, city: Citizens, rate: float) -> None:
    samples = Samples(on.pack, machine_now().date(), seed=5)
    async with httpx.AsyncClient(timeout=10) as client:
        while True:
            await asyncio.gather(city.ask(client, samples.take(1)[0].body()), asyncio.sleep(1 / rate))


async def _send_junk(access: KafkaAccess, topic: str, records: int, tell: Tell) -> float:
    """A third each: unreadable bytes, events of no known type, acts on cases that do not exist."""
    producer = Producer(access, "bench-flood")
    begun = time.monotonic()
    try:
        for start in range(0, records, _BATCH):
            rows = [(topic, b"junk", _junk(n), None) for n in range(start, min(start + _BATCH, records))]
            while rows:
                outcome = await producer.publish(rows)
                if outcome.failed:
                    raise Failed(f"the broker refuses: {outcome.failed}")
                sent = {index for index, _ in outcome.sent}
                rows = [row for index, row in enumerate(rows) if index not in sent]
            tell(f"{start:,} of {records:,} junk records")
    finally:
        await producer.stop()
    return time.monotonic() - begun


def _junk(number: int) -> bytes:
    if number % 3 == 0:
        return b"\xff junk %d" % number
    known = number % 3 == 1
    return orjson.dumps(
        {
            "specversion": "1.0",
            "type": "civic.action.sign.v1" if known else "com.example.printer.jammed",
            "id": f"junk-{number}",
            "source": "/bench",
            "subject": new_id(machine_now()),
            "time": machine_now(),
            "data": {},
        }
    )


async def _wait(on: Stage, topic: str, citizens: "asyncio.Task[None]", tell: Tell) -> bool:
    """Two minutes; whether the partition was paused meanwhile. An error of the citizens is raised at once."""
    paused = False
    end = time.monotonic() + _AFTER_SECONDS
    while (left := end - time.monotonic()) > 0:
        state = await on.connection.fetchrow(_STATE, topic)
        paused = paused or bool(state and state["paused"])
        tell(f"{left:.0f} s to go")
        await asyncio.wait({citizens}, timeout=2)
        if citizens.done():
            citizens.result()
    return paused


async def _entries(on: Stage) -> list[tuple[str, dict[str, Any]]]:
    types = [CaseDispatched.contract.type, AssignmentSigned.contract.type]
    rows = await on.connection.fetch(_ENTRIES, types)
    return [(row["type"], orjson.loads(row["value"])) for row in rows]


def _signings(
    entries: Sequence[tuple[str, Mapping[str, Any]]], began: float, flooded: str
) -> tuple[list[float], list[float]]:
    """Seconds from dispatch to signature of other units, for what was dispatched before and since `began`."""
    dispatched: dict[str, float] = {}
    before: list[float] = []
    during: list[float] = []
    for kind, event in entries:
        at = _seconds(event["time"])
        if kind == CaseDispatched.contract.type:
            dispatched[event["subject"]] = at
        elif event["data"]["unit"] != flooded:
            begun = dispatched[event["subject"]]
            (before if begun < began else during).append(at - begun)
    return before, during


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
