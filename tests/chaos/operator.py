"""The operator after a run: what could not be applied is tried again, fails again, and is given up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.history import History, Violation
from harness.installation import Installation
from harness.observation import Observation
from harness.schema import SECRET
from shared.inbox.dead_letters import DeadLetter, DeadLetters
from shared.settings import CoreSettings, ServiceName
from shared.unit_of_work.database import Database

HOLDERS: tuple[ServiceName, ...] = ("publisher", "inquiry", "routing")


async def give_up(installation: Installation, observation: Observation) -> dict[ServiceName, int]:
    """Replays every dead letter, then discards whatever is one; how many each service was told to discard.

    Raises AssertionError if a replay changes anything, and NotQuiet.
    """
    discarded = {}
    for service in HOLDERS:
        async with _dead_letters(installation, service) as letters:
            before = await letters.list()
            for letter in before:
                if letter.key is not None:
                    await letters.replay(letter.id, "chaos")
            await observation.settle()
            # A fault of its own stays one, and what waits behind it waits on.
            assert _waiting(await letters.list()) == _waiting(before)
            discarded[service] = await _discard(letters, observation)
    return discarded


def check_given_up(history: History, discarded: dict[ServiceName, int]) -> list[Violation]:
    """Each discard stands on the topic, once (I5)."""
    found = []
    for service, expected in discarded.items():
        kind = f"civic.{service}.deadletter_discarded.v1"
        told = sum(seen.type == kind for seen in history.events.values())
        if told != expected:
            found.append(Violation("I5", f"{service}: {told} of {expected} discarded dead letters are told"))
    return found


async def _discard(letters: DeadLetters, observation: Observation) -> int:
    """Until there is none: behind a dead letter its copies wait, each of which is the next one of its key."""
    count = 0
    async with asyncio.timeout(120):
        while waiting := await letters.list():
            for letter in waiting:
                await letters.discard(letter.id, "chaos", "put there by the test")
            count += len(waiting)
            await observation.settle()
    return count


def _waiting(letters: Sequence[DeadLetter]) -> set[tuple[str, str | None, int]]:
    return {(letter.topic, letter.key, letter.waiting) for letter in letters}


@asynccontextmanager
async def _dead_letters(installation: Installation, service: ServiceName) -> AsyncIterator[DeadLetters]:
    settings = CoreSettings(
        service=service,
        database_url=installation.database_url,
        kafka_bootstrap=installation.bootstrap,
        topic_namespace=installation.namespace,
        secret_key=SECRET,
        clock_file=installation.clock_file,
    )
    database = await Database.open(settings)
    try:
        yield DeadLetters(database)
    finally:
        await database.close()
