"""A forged sequence, far ahead of what a service has said of a case, parks the case and hides nothing."""

import dataclasses

import pytest

from shared.inbox.dead_letters import DeadLetters
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from tests.integration.shared.conftest import Source
from tests.integration.shared.inbox.test_epochs import CASE, moved
from tests.integration.shared.inbox.test_partition_batch import applied, counting


def in_order(*records: RawRecord) -> list[RawRecord]:
    return [dataclasses.replace(record, offset=offset) for offset, record in enumerate(records)]


async def refused(database: Database) -> list[tuple[str | None, str]]:
    return [(letter.key, letter.error) for letter in await DeadLetters(database).list()]


FORGED = [(1, 9_999_999_999), (1, 10_003), (1_001 + 1, 3)]


@pytest.mark.parametrize(("epoch", "sequence"), FORGED)
async def test_a_leap_parks_the_case_until_it_is_discarded_and_then_the_truth_is_applied(
    routing: Database, source: Source, epoch: int, sequence: int
) -> None:
    batches = PartitionBatchProcessor(routing, "toy", counting())
    others = source.received()
    records = in_order(
        moved(source, 1, 1), moved(source, 1, 2), moved(source, epoch, sequence), moved(source, 1, 3), others
    )
    await batches.process(records, start=0)
    assert (await applied(routing)).count(CASE) == 2
    assert len(await applied(routing)) == 3  # another case goes on
    (letter,) = await DeadLetters(routing).list()
    assert (letter.key, letter.error) == (CASE, "SequenceLeaps")

    await DeadLetters(routing).replay(letter.id, "operator")
    parking = Parking(routing, "toy", counting())
    await parking.once()
    assert (await applied(routing)).count(CASE) == 2  # it is not believed the second time either
    (letter,) = await DeadLetters(routing).list()
    await DeadLetters(routing).discard(letter.id, "operator", "nobody of ours wrote it")
    await parking.once()
    assert (await applied(routing)).count(CASE) == 3


@pytest.mark.parametrize(("epoch", "sequence"), [(1, 10_002), (1_001, 3), (2, 2)])
async def test_what_may_be_true_is_applied(
    routing: Database, source: Source, epoch: int, sequence: int
) -> None:
    batches = PartitionBatchProcessor(routing, "toy", counting())
    await batches.process(in_order(moved(source, 1, 1), moved(source, 1, 2), moved(source, epoch, sequence)))
    assert len(await applied(routing)) == 3
    assert await refused(routing) == []


async def test_the_first_event_of_a_case_cannot_leap_either(routing: Database, source: Source) -> None:
    batches = PartitionBatchProcessor(routing, "toy", counting())
    await batches.process(in_order(moved(source, 1, 9_999_999_999)))
    assert await refused(routing) == [(CASE, "SequenceLeaps")]


async def test_a_units_own_subject_may_leap(routing: Database, source: Source) -> None:
    record = moved(source, 1, 900_000)
    record.value = (record.value or b"").replace(CASE.encode(), b"water")
    record.key = b"water"
    await PartitionBatchProcessor(routing, "toy", counting()).process([record])
    assert await applied(routing) == ["water"]
