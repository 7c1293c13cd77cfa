"""The Idempotency-Key of a write: required, scoped to caller and route."""

from starlette.requests import Request

from shared.idempotency import Request as Keyed
from shared.web.problems import Problem

HEADER = "Idempotency-Key"


async def keyed(request: Request, actor: str) -> Keyed:
    """The API request under its key. Raises Problem 400 without one."""
    key = request.headers.get(HEADER, "")
    if not key or len(key) > 255 or not key.isascii() or not key.isprintable():
        raise Problem(
            400,
            "idempotency-key-needed",
            "An Idempotency-Key is needed",
            f"Send the header {HEADER}: 1 to 255 printable ASCII characters, a new one for each new request.",
        )
    return Keyed(f"{actor} {request.method} {request.url.path}", key, await request.body())


def keyed_form(request: Request, actor: str, key: str, body: bytes) -> Keyed:
    """A form under its hidden key; `body` is what it says without what belongs to the page."""
    return Keyed(f"{actor} {request.method} {request.url.path}", key, body)
