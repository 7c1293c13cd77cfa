"""Letters: what publisher has still to send when all else is at rest, some of it in minutes."""

import asyncio

import asyncpg

from harness.installation import Installation
from harness.observation import NotQuiet
from shared.clock import machine_now


async def send_letters(installation: Installation, seconds: float) -> None:
    """Makes every letter due now, also those whose lease a crashed copy still holds.

    Returns when no letter is left to be sent, but for those whose address has not come. What publisher says
    of them is under way then. Raises NotQuiet.
    """
    waiting = None
    deadline = asyncio.get_running_loop().time() + seconds
    connection = await asyncpg.connect(installation.database_url, timeout=10)
    try:
        await connection.execute(
            "UPDATE publisher.delivery SET due_at = $1 WHERE state IN ('pending', 'sending')", machine_now()
        )
        while asyncio.get_running_loop().time() < deadline:
            waiting = await connection.fetchval(
                "SELECT count(*) FROM publisher.delivery WHERE state IN ('pending', 'sending')"
            )
            if not waiting:
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
    raise NotQuiet(f"{waiting} letters are still not sent")
