"""A department's own system: reads its cases from Kafka, signs them, and replies a moment later.

    python examples/department.py 127.0.0.1:9092 urban-management water --namespace civic

It uses nothing of Civicloom but its topics. Where the brokers ask who it is, KAFKA_SECURITY_PROTOCOL,
KAFKA_USERNAME and KAFKA_PASSWORD say it. An action's id is derived from the record that it answers: after a
restart the same records lead to the same actions, and each action counts once. Offsets are committed when all
records of a batch are answered.
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import ssl
import uuid
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

REPLY = "您反映的问题已处理完毕，感谢监督。 The problem has been dealt with. Thank you for reporting it."
ASSIGNED = ("civic.department.case_offered.v1", "civic.department.case_reopened.v1")


async def act(producer: AIOKafkaProducer, record: ConsumerRecord, verb: str, **data: str) -> None:
    """Sends an action (sign or reply) on the case of a record."""
    event = json.loads(record.value)
    action = {
        "specversion": "1.0",
        "type": f"civic.action.{verb}.v1",
        "id": str(uuid.uuid5(uuid.UUID(event["id"]), verb)),
        "source": "/examples/department",
        "subject": event["subject"],
        "time": dt.datetime.now(dt.UTC).isoformat(),  # noqa: TID251  (another system's clock)
        "data": data,
    }
    topic = record.topic.removesuffix(".v1") + ".actions.v1"
    await producer.send_and_wait(topic, json.dumps(action).encode(), record.key)


async def handle(producer: AIOKafkaProducer, record: ConsumerRecord, seconds: float) -> None:
    """Signs an offered case and, as its lead, replies after some seconds."""
    event: dict[str, Any] = json.loads(record.value)
    if event.get("type") not in ASSIGNED:  # results of actions, withdrawals, closings
        return
    if event["type"] == ASSIGNED[0]:
        await act(producer, record, "sign")
    if event["data"].get("role", "lead") == "lead":  # co-handlers (协办) sign; the lead (主办) replies
        await asyncio.sleep(seconds)
        await act(producer, record, "reply", outcome="solved", text=REPLY)


def access() -> dict[str, Any]:
    """How the brokers are spoken to, from the environment: what `civicloom topics user add` has printed."""
    options: dict[str, Any] = {"security_protocol": os.environ.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")}
    if options["security_protocol"].startswith("SASL"):
        file = os.environ.get("KAFKA_PASSWORD_FILE")
        password = Path(file).read_text().rstrip("\r\n") if file else os.environ["KAFKA_PASSWORD"]
        options |= {
            "sasl_mechanism": os.environ.get("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            "sasl_plain_username": os.environ["KAFKA_USERNAME"],
            "sasl_plain_password": password,
        }
    if options["security_protocol"].endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=os.environ.get("KAFKA_CA_FILE"))
    return options


async def main(bootstrap: str, codes: list[str], namespace: str, seconds: float) -> None:
    options = {"bootstrap_servers": bootstrap, **access()}
    # A user may join groups that begin with its own name.
    owner = options.get("sasl_plain_username", namespace)
    consumer = AIOKafkaConsumer(
        *(f"{namespace}.department.{code}.v1" for code in codes),
        **options,
        group_id=f"{owner}.example-department",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer, AIOKafkaProducer(**options, acks="all") as producer:
        while True:
            batches = await consumer.getmany(timeout_ms=200, max_records=500)
            records = [record for batch in batches.values() for record in batch]
            await asyncio.gather(*(handle(producer, record, seconds) for record in records))
            if records:
                await consumer.commit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Plays departments: signs and answers their cases.")
    parser.add_argument("bootstrap", help="the brokers, as host:port")
    parser.add_argument("codes", nargs="+", metavar="code", help="the code of a department")
    parser.add_argument("--namespace", default="civic", help="the first part of the topics' names")
    parser.add_argument("--seconds", type=float, default=2, help="delay before a reply")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.bootstrap, arguments.codes, arguments.namespace, arguments.seconds))
