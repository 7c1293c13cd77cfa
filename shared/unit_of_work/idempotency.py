"""`Idempotency-Key`: repeating a request returns the stored answer; another body under the key is a conflict.

The scope is caller and route. Concurrent requests with one key wait on its row. Answers are kept for 48
hours, without secrets: the code that answers derives them again.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from shared.clock import machine_now
from shared.errors import Conflict
from shared.unit_of_work.pruning import prune
from shared.unit_of_work.transaction import QUERIES, Connection, Tx

KEPT = dt.timedelta(hours=48)


class KeyReused(Conflict):
    """The key was used before with another body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer: the HTTP status and the JSON body without secrets."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request with a key. `scope` is caller and route; `body` is the bytes that the client sent."""

    scope: str
    key: str
    body: bytes

    async def earlier_answer(self, tx: Tx) -> Answer | None:
        """Claims the key and returns None, or returns the stored answer. Call it first in the transaction.

        Raises KeyReused if the key was used with another body, Conflict if its first request is unfinished.
        """
        digest = hashlib.sha256(self.body).digest()
        connection = tx.connection
        if await connection.fetchval(
            QUERIES["claim_idempotency_key"], self.scope, self.key, digest, machine_now() + KEPT
        ):
            return None
        row = await connection.fetchrow(QUERIES["read_idempotency_key"], self.scope, self.key)
        if row is None or row["status"] is None:
            raise Conflict("a request with this Idempotency-Key is not finished")
        if row["body_hash"] != digest:
            raise KeyReused("this Idempotency-Key was used with another body: send a new key")
        return Answer(row["status"], orjson.loads(row["response"]))

    async def remember(self, tx: Tx, answer: Answer) -> None:
        """Stores the answer, in the same transaction as the change that it reports."""
        await tx.connection.execute(
            QUERIES["answer_idempotency_key"],
            self.scope,
            self.key,
            answer.status,
            orjson.dumps(answer.body).decode(),
        )


async def claim_together(tx: Tx, requests: Sequence[Request]) -> list[bool]:
    """Claims many keys with one statement; for each request, whether its key was new.

    Of several requests with one key only the first is new. Call `earlier_answer` for the others, in another
    transaction.
    """
    rows = await tx.connection.fetch(
        QUERIES["claim_idempotency_keys"],
        [request.scope for request in requests],
        [request.key for request in requests],
        [hashlib.sha256(request.body).digest() for request in requests],
        machine_now() + KEPT,
    )
    claimed = {int(row["n"]) for row in rows}
    return [number in claimed for number in range(1, len(requests) + 1)]


async def remember_together(tx: Tx, answered: Sequence[tuple[Request, Answer]]) -> None:
    """`Request.remember` for many requests with one statement."""
    await tx.connection.execute(
        QUERIES["answer_idempotency_keys"],
        [request.scope for request, _ in answered],
        [request.key for request, _ in answered],
        [answer.status for _, answer in answered],
        [orjson.dumps(answer.body).decode() for _, answer in answered],
    )


async def prune_keys(connection: Connection | asyncpg.Pool, before: dt.datetime) -> None:
    """Deletes keys that expired before a moment of machine time."""
    await prune(connection, "prune_idempotency_keys", before)
