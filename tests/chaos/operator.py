"""The operator after a run: replays every dead letter, which fails again, and discards it."""

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
    """Replays every dead letter, then discards whatever is one; returns how many each service had to discard.

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
            # The replay fails for the same reason, and the events behind it still wait.
            assert _waiting(await letters.list()) == _waiting(before)
            discarded[service] = await _discard(letters, observation)
    return discarded


def check_given_up(history: History, discarded: dict[ServiceName, int]) -> list[Violation]:
    """Each discard is on the topic once (I5)."""
    found = []
    for service, expected in discarded.items():
        kind = f"civic.{service}.deadletter_discarded.v1"
        discards = sum(seen.type == kind for seen in history.events.values())
        if discards != expected:
            found.append(Violation("I5", f"{service}: {discards} of {expected} discards are on the topic"))
    return found


async def _discard(letters: DeadLetters, observation: Observation) -> int:
    """Discards until there is none: behind a dead letter wait its copies, which then become dead letters."""
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
        **installation.access.settings(),
        topic_namespace=installation.namespace,
        secret_key=SECRET,
        clock_file=installation.clock_file,
    )
    database = await Database.open(settings)
    try:
        yield DeadLetters(database)
    finally:
        await database.close()
