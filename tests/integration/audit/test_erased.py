"""After an erasure nothing public leads from an event's id to its entry, except for holders of the event."""

import hashlib
import uuid

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from harness.installation import Installation
from services.audit.log.note import Verifier
from services.audit.log.proof import parse_proof
from shared.contracts.addresses import topic_name
from shared.unit_of_work.transaction import Emitted
from tests.integration.audit.sample import SampleService, until

pytestmark = pytest.mark.integration


class Inquiry:
    """Emits events of inquiry about one case, which the sample service counts with its own."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, sample: SampleService) -> None:
        self.case = str(uuid.uuid4())
        self._producer = producer
        self._topic = topic
        self._events = sample.written.setdefault(self.case, [])

    async def emit(self, what: str) -> Emitted:
        sequence = len(self._events) + 1
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "/services/inquiry",
            "type": f"civic.inquiry.{what}.v1",
            "subject": self.case,
            "sequence": f"{sequence:010d}",
            "epoch": 1,
            "salt": "AAECAwQFBgcICQoLDA0ODw",
            "data": {},
        }
        emitted = Emitted(event["id"], sequence, orjson.dumps(event), None)
        await self._producer.send_and_wait(self._topic, emitted.value, self.case.encode(), partition=0)
        self._events.append(emitted)
        return emitted


async def test_the_proof_of_an_erased_cases_event_is_for_holders_of_the_event(
    installation: Installation, client: httpx.AsyncClient, sample: SampleService, tables: asyncpg.Connection
) -> None:
    async with AIOKafkaProducer(**installation.access.options()) as producer:
        inquiry = Inquiry(producer, topic_name(installation.namespace, "inquiry"), sample)
        accepted = await inquiry.emit("accepted")

        async def proven() -> bool:
            return (await client.get(f"/log/proof/{accepted.id}")).status_code == 200

        await until(proven, "the proof")
        erased = await inquiry.emit("erased")

        async def gone() -> bool:
            return (await client.get(f"/log/proof/{accepted.id}")).status_code == 410

        await until(gone, "the proof to be gone")
    for event in (accepted, erased):
        for query in ("", "?commitment=", f"?commitment={'0' * 64}", f"?commitment={sha256(event.value)}"):
            answer = await client.get(f"/log/proof/{event.id}{query}")
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (410, "event-erased")
            assert "extra" not in answer.text
    verifier = Verifier.parse((await client.get("/log/key")).text.strip())
    held = sha256(b"\2" + accepted.value)
    answer = await client.get(f"/log/proof/{accepted.id}?commitment={held}")
    parse_proof(answer.content).verify_event(accepted.value, verifier)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
