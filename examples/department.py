"""A department's own system: reads its cases from Kafka, signs them, and replies a moment later.

    python examples/department.py 127.0.0.1:9092 urban-management water --namespace civic

It uses nothing of Civicloom but its topics. An action's id is derived from the record that it answers: after
a restart the same records lead to the same actions, and each action counts once. Offsets are committed when
all records of a batch are answered.
"""

import argparse
import asyncio
import datetime as dt
import json
import uuid
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
    if event["type"] not in ASSIGNED:  # results of actions, withdrawals, closings
        return
    if event["type"] == ASSIGNED[0]:
        await act(producer, record, "sign")
    if event["data"].get("role", "lead") == "lead":  # co-handlers (协办) sign; the lead (主办) replies
        await asyncio.sleep(seconds)
        await act(producer, record, "reply", outcome="solved", text=REPLY)


async def main(bootstrap: str, codes: list[str], namespace: str, seconds: float) -> None:
    consumer = AIOKafkaConsumer(
        *(f"{namespace}.department.{code}.v1" for code in codes),
        bootstrap_servers=bootstrap,
        group_id=f"{namespace}.example-department",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer, AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
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
