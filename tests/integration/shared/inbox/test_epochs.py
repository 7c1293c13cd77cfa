"""A reader takes what a restored service says, and alarms if the service has forgotten something."""

import orjson

from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.metrics import EPOCH_OVERLAPS
from shared.unit_of_work.database import Database
from tests.integration.shared.conftest import Source
from tests.integration.shared.inbox.test_partition_batch import applied, counting

CASE = "01a20b31-b3bb-7773-a1b2-3eb064159e46"


def moved(source: Source, epoch: int, sequence: int) -> RawRecord:
    """Another event about the case at this place."""
    record = source.received(CASE)
    event = orjson.loads(record.value or b"")
    event |= {"epoch": epoch, "sequence": f"{sequence:010d}"}
    record.value = orjson.dumps(event)
    return record


def overlaps() -> float:
    return EPOCH_OVERLAPS.labels("toy")._value.get()


async def test_a_new_epoch_that_continues_is_applied_in_silence(routing: Database, source: Source) -> None:
    before = overlaps()
    records = [moved(source, 1, 1), moved(source, 1, 2), moved(source, 2, 3), moved(source, 2, 4)]
    await PartitionBatchProcessor(routing, "toy", counting()).process(records)
    assert len(await applied(routing)) == 4
    assert overlaps() == before


async def test_a_new_epoch_below_what_is_known_is_applied_and_alarms(
    routing: Database, source: Source
) -> None:
    before = overlaps()
    records = [moved(source, 1, 1), moved(source, 1, 2), moved(source, 2, 2), moved(source, 2, 3)]
    await PartitionBatchProcessor(routing, "toy", counting()).process(records)
    assert len(await applied(routing)) == 4
    assert overlaps() == before + 1


async def test_the_old_epoch_is_a_duplicate_after_the_new_one(routing: Database, source: Source) -> None:
    records = [moved(source, 2, 3), moved(source, 1, 4)]
    await PartitionBatchProcessor(routing, "toy", counting()).process(records)
    assert len(await applied(routing)) == 1
