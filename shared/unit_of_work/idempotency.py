"""`Idempotency-Key`: the same key with the same body answers the same, with another body is a conflict.

Scope is caller and route. Two at a time wait on the row. Kept 48 hours. No secret is stored in the clear:
what is kept is the answer without it, and whoever answers derives it again.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.clock import machine_now
from shared.errors import Conflict
from shared.unit_of_work.transaction import QUERIES, Tx

KEPT = dt.timedelta(hours=48)


class KeyReused(Conflict):
    """The key was used before with another body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the HTTP status and the JSON body without secrets."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A keyed request. `scope` is caller and route; `body` the bytes that the client sent."""

    scope: str
    key: str
    body: bytes

    async def earlier_answer(self, tx: Tx) -> Answer | None:
        """Claims the key, or gives what was answered before. First thing in the transaction.

        Raises KeyReused if the key came with another body.
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
        """Keeps the answer in the same transaction as what it tells of."""
        await tx.connection.execute(
            QUERIES["answer_idempotency_key"],
            self.scope,
            self.key,
            answer.status,
            orjson.dumps(answer.body).decode(),
        )


async def claim_together(tx: Tx, requests: Sequence[Request]) -> list[bool]:
    """Claims many keys with one statement: for each request whether its key was new.

    Of several with one key the first is new. For the others ask `earlier_answer`, in another transaction.
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
    """`Request.remember` for many."""
    await tx.connection.execute(
        QUERIES["answer_idempotency_keys"],
        [request.scope for request, _ in answered],
        [request.key for request, _ in answered],
        [answer.status for _, answer in answered],
        [orjson.dumps(answer.body).decode() for _, answer in answered],
    )
