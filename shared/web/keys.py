"""Idempotency keys of writes: required, scoped to caller and route; and the problems of their conflicts."""

from starlette.requests import Request

from shared.errors import Conflict
from shared.unit_of_work.idempotency import KeyReused
from shared.unit_of_work.idempotency import Request as Keyed
from shared.web.problems import Problem

HEADER = "Idempotency-Key"
SHORTEST_OF_STRANGERS = 16
"""In characters: random keys of this length in any usual alphabet do not collide."""
_LONGEST = 255


async def keyed(request: Request, actor: str) -> Keyed:
    """The API request under its key; `actor` scopes it. Raises Problem 400 without a key."""
    return await _keyed(request, actor, 1, "a new one for each new request")


async def keyed_stranger(request: Request, actor: str) -> Keyed:
    """The same for anonymous callers: no session, no API key, no secret.

    Anonymous callers share one key space, and a caller who sends another's key and body gets the other's
    answer. Raises Problem 400 without a key that is long enough to be random.
    """
    return await _keyed(
        request, actor, SHORTEST_OF_STRANGERS, "random for each new request and not made from its body"
    )


async def _keyed(request: Request, actor: str, shortest: int, kind: str) -> Keyed:
    key = request.headers.get(HEADER, "")
    if not shortest <= len(key) <= _LONGEST or not key.isascii() or not key.isprintable():
        raise Problem(
            400,
            "idempotency-key-needed",
            "An Idempotency-Key is needed",
            f"Send the header {HEADER}: {shortest} to {_LONGEST} printable ASCII characters, {kind}.",
        )
    return Keyed(_scope(request, actor), key, await request.body())


def keyed_form(request: Request, actor: str, key: str, body: bytes) -> Keyed:
    """A form under its hidden key; `body` is its content without the fields that the page adds."""
    return Keyed(_scope(request, actor), key, body)


def clash(error: Conflict) -> Problem:
    """409 for a key that was used with another body, or whose first request is still running."""
    if isinstance(error, KeyReused):
        return Problem(
            409,
            "key-reused",
            "The Idempotency-Key was used with another body",
            "Send a new key for a new request.",
        )
    return Problem(409, "conflict", "The request meets another one", "Send it again.")


def _scope(request: Request, actor: str) -> str:
    return f"{actor} {request.method} {request.scope['path']}"
