"""A city for tests that uses public interfaces alone: citizens over HTTP, departments over their topics."""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  (seeded: a run can be repeated)
from typing import Any

import httpx
import orjson

from harness.installation import Installation
from shared.clock import machine_now, open_clock
from shared.contracts.addresses import topic_name
from shared.kafka.client import KafkaError, Producer, Reader
from shared.kafka.records import RawRecord

_API = "/api/inquiry/v1/inquiries"
_OFFERED = "civic.department.case_offered.v1"
_REOPENED = "civic.department.case_reopened.v1"
_TAKEN = frozenset({httpx.codes.OK, httpx.codes.CREATED})
CONCERNS: tuple[dict[str, Any], ...] = (
    {
        "title": "井盖松动",
        "text": "车一过就响，夜里睡不着。",
        "service_code": "municipal-manhole",
        "area": "yunxi",
    },
    {
        "title": "路灯不亮 💡",
        "text": "第三盏灯两天不亮了。",
        "service_code": "municipal-street-light",
        "area": "qingshi",
    },
    {
        "title": "路面塌陷",
        "text": "<b>很深</b>'; DROP TABLE inquiry; --",
        "service_code": "municipal-road-damage",
        "area": "linjiang",
    },
    {"title": "不知道归谁管", "text": "请中心分派。", "service_code": "12345-center"},
)


@dataclass(frozen=True, slots=True)
class Case:
    """What a citizen keeps of a case: id, number, secret and the sequence of the intake."""

    id: str
    number: str
    secret: str
    sequence: int


@dataclass(slots=True)
class Citizens:
    """Citizens who repeat each request under the same Idempotency-Key until it is answered.

    `cases` has one entry per key; `evaluated` the sequence of each evaluation that was accepted, by case id.
    Only an outage (no answer, or 503) is retried: any other unexpected answer raises AssertionError. `faults`
    counts those, and `refusals` has the seconds that each 503 took.
    """

    installation: Installation
    random: Random
    cases: dict[str, Case] = field(default_factory=dict)
    evaluated: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    refusals: list[float] = field(default_factory=list)

    async def ask(self, client: httpx.AsyncClient, concern: dict[str, Any] | None = None) -> Case:
        """Sends one concern, by default one of `CONCERNS`, half of them with a mail address."""
        key = str(uuid.UUID(int=self.random.getrandbits(128)))
        body = concern or self.random.choice(CONCERNS)
        if concern is None and self.random.random() < 0.5:
            body = body | {"contact": {"email": f"{key}@citizens.example"}}
        taken = (await self._insist(client, _API, key, body, _TAKEN)).json()
        self.cases[key] = Case(taken["id"], taken["number"], taken["secret"], taken["sequence"])
        if self.random.random() < 0.2:
            # As if the answer had been lost: the citizen sends the form again.
            again = (await self._insist(client, _API, key, body, _TAKEN)).json()
            assert again == taken  # noqa: S101
        return self.cases[key]

    async def evaluate(self, client: httpx.AsyncClient, case: Case, solved: str = "yes") -> bool:
        """Evaluates a case; False if it was refused since the case is not answered yet."""
        body = {"solved": solved, "rating": 4, "contacted": True, "secret": case.secret}
        key = str(uuid.UUID(int=self.random.getrandbits(128)))
        answer = await self._insist(
            client, f"{_API}/{case.id}/evaluation", key, body, {*_TAKEN, httpx.codes.CONFLICT}
        )
        taken = answer.is_success
        if taken:
            self.evaluated[case.id] = answer.json()["sequence"]
        return taken

    async def _insist(
        self, client: httpx.AsyncClient, path: str, key: str, body: dict[str, Any], foreseen: Collection[int]
    ) -> httpx.Response:
        while True:
            copy = self.random.choice([c for c in self.installation.copies if c.service == "inquiry"])
            began = time.monotonic()
            try:
                answer = await client.post(f"{copy.url}{path}", json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                self.faults += 1
            else:
                if answer.status_code in foreseen:
                    return answer
                is_refused = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
                if not is_refused or "Retry-After" not in answer.headers:
                    raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
                self.faults += 1
                self.refusals.append(time.monotonic() - began)
            await asyncio.sleep(0.1)


class Departments:
    """Departments that sign every offer and reply where they lead.

    An action's id is derived from the record's id: reading a record again gives the same action, so they may
    crash too. With `late` every fourth reply is sent only when it is overdue in business time.
    """

    def __init__(
        self, installation: Installation, units: Sequence[str], *, replies: bool = True, late: bool = False
    ) -> None:
        self._installation = installation
        self._topics = {topic_name(installation.namespace, "department", unit): unit for unit in units}
        self._replies = replies
        self._late = late
        self._clock = open_clock(installation.clock_file)
        self._held_back: list[tuple[dt.datetime, tuple[str, str, bytes]]] = []
        self._producer = Producer(installation.access, "departments")
        self._offsets: dict[tuple[str, int], int] = {}
        self._answered: set[str] = set()
        self._sending = 0

    async def run(self) -> None:
        """Runs until cancelled, and reconnects to a broker that is away."""
        try:
            while True:
                try:
                    await self._read()
                except (KafkaError, OSError, TimeoutError):
                    await asyncio.sleep(0.5)
        finally:
            await self.close()

    async def close(self) -> None:
        await self._producer.stop()

    def rest_at(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether all records below these ends are acted on, and no action is on its way or overdue."""
        now = self._clock.now()
        own = ((partition, end) for partition, end in ends.items() if partition[0] in self._topics)
        return (
            not self._sending
            and not any(due < now for due, _ in self._held_back)
            and all(self._offsets.get(partition, 0) >= end for partition, end in own)
        )

    async def act(self, unit: str, subject: str, verb: str, identifier: str, **data: str) -> None:
        """Sends one action."""
        action = {
            "specversion": "1.0",
            "type": f"civic.action.{verb}.v1",
            "id": identifier,
            "source": f"/tests/{unit}",
            "subject": subject,
            "time": machine_now(),
            "data": data,
        }
        await self._send(
            [(topic_name(self._installation.namespace, "actions", unit), subject, orjson.dumps(action))]
        )

    async def _read(self) -> None:
        reader = Reader(self._installation.access, "departments", list(self._topics))
        await reader.start(self._offsets)
        try:
            while True:
                records = await reader.read(500, 100)
                await self._send([row for record in records for row in self._answers(record)])
                await self._send(self._overdue())
                for record in records:
                    self._offsets[record.topic, record.partition] = record.offset + 1
        finally:
            await reader.stop()

    def _answers(self, record: RawRecord) -> list[tuple[str, str, bytes]]:
        event = orjson.loads(record.value or b"")
        unit = self._topics[record.topic]
        if event["type"] not in (_OFFERED, _REOPENED):
            return []
        verbs = ["sign"] if event["type"] == _OFFERED else []
        if self._replies and event["data"].get("role", "lead") == "lead":
            verbs.append("reply")
        topic = topic_name(self._installation.namespace, "actions", unit)
        rows = [(topic, event["subject"], _action(event, unit, verb)) for verb in verbs]
        if self._late and verbs == ["sign", "reply"] and sum(event["id"].encode()) % 4 == 0:
            due = dt.datetime.fromisoformat(event["data"]["reply_due"])
            self._held_back.append((due, rows.pop()))
        return rows

    def _overdue(self) -> list[tuple[str, str, bytes]]:
        now = self._clock.now()
        overdue = [row for due, row in self._held_back if due < now]
        self._held_back = [(due, row) for due, row in self._held_back if due >= now]
        return overdue

    async def _send(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        waiting = [(topic, key.encode(), value, None) for topic, key, value in rows]
        self._sending += len(waiting)
        try:
            while waiting:
                outcome = await self._producer.publish(waiting)
                if outcome.failed:
                    await self._producer.renew()
                sent = {index for index, _ in outcome.sent}
                waiting = [row for index, row in enumerate(waiting) if index not in sent]
        finally:
            self._sending -= len(rows)


def _action(event: dict[str, Any], unit: str, verb: str) -> bytes:
    data = {"outcome": "solved", "text": "已处理。"} if verb == "reply" else {}
    return orjson.dumps(
        {
            "specversion": "1.0",
            "type": f"civic.action.{verb}.v1",
            "id": str(uuid.uuid5(uuid.UUID(event["id"]), verb)),
            "source": f"/tests/{unit}",
            "subject": event["subject"],
            "time": event["time"],
            "data": data,
        }
    )
