"""Who may see a case: whoever shows its secret, a browser that has shown it, staff; guessing is slow."""

import hmac
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.config import (
    TRACKING_SECONDS,
    WRONG_SECRETS_PER_CLIENT,
    WRONG_SECRETS_PER_NUMBER,
    tracking_key,
)
from services.inquiry.queries import QUERIES
from shared.ids import is_id, read_case_number, secret_hash
from shared.logs import concerns
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.web.problems import Problem
from shared.web.ratelimit import RateLimit
from shared.web.sealed import Sealer

SECRET_HEADER = "X-Case-Secret"  # noqa: S105  (a name)
_COOKIE = "case"
_NO_HASH = secret_hash("")
# The columns of inquiry, and of received its value and words.
Found = asyncpg.Record


def no_such_case() -> Problem:
    """One answer for an unknown number and a wrong secret: neither tells which it was."""
    return Problem(
        404,
        "no-such-case",
        "There is no case with this number and secret",
        "Check both. The number is on the confirmation, the secret beside it.",
    )


@dataclass(slots=True)
class Access:
    """Opens cases for readers."""

    database: Database
    _sealer: Sealer
    _secure: bool
    _per_number: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_NUMBER))
    _per_client: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_CLIENT))

    @classmethod
    def of(cls, database: Database, settings: CoreSettings) -> "Access":
        secure = settings.public_url.startswith("https://")
        return cls(database, Sealer(tracking_key(settings), "case"), secure)

    async def find(self, reference: str) -> Found | None:
        """The case by its id or its number in any spelling; None if we have not received such a one."""
        id_ = reference if is_id(reference) else None
        number = None if id_ else read_case_number(reference)
        if id_ is None and number is None:
            return None
        found = await self.database.pool.fetchrow(QUERIES["find_case"], id_, number)
        if found is not None:
            concerns(found["id"])
        return found

    async def get(self, reference: str) -> Found:
        """The same for staff. Raises Problem 404."""
        found = await self.find(reference)
        if found is None:
            raise Problem(404, "no-such-case", "There is no such case")
        return found

    async def open(self, request: Request, reference: str, secret: str | None) -> Found:
        """The case for whoever shows its secret.

        Only a wrong secret counts, so that nobody who knows a number can keep its citizen out by guessing: 80
        random bits stand any number of guesses that find the right one open. An address that has guessed too
        often learns nothing more, not even by the right secret.

        Raises Problem 401 without a secret, 404 for a wrong one or an unknown number, 429 for many of them.
        """
        if not secret:
            raise Problem(
                401,
                "secret-needed",
                "The secret of the case is needed",
                f"Send it in the header {SECRET_HEADER}.",
            )
        client = request.client.host if request.client else "unknown"
        self._per_client.check(client)
        found = await self.find(reference)
        expected = found["secret_hash"] if found is not None else _NO_HASH
        right = hmac.compare_digest(secret_hash(secret), expected)
        if found is not None and right:
            return found
        self._per_client.take(client)
        number = found["number"] if found is not None else read_case_number(reference) or reference[:64]
        self._per_number.take(number)
        raise no_such_case()

    def remember(self, response: Response, inquiry: str) -> None:
        """Lets this browser follow the case for half an hour without the secret."""
        response.set_cookie(
            _COOKIE,
            self._sealer.seal({"id": inquiry}, TRACKING_SECONDS),
            max_age=TRACKING_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        response.delete_cookie(_COOKIE, path="/", secure=self._secure, httponly=True, samesite="lax")

    async def remembered(self, request: Request) -> Found | None:
        """The case that this browser follows, if it does."""
        content: dict[str, Any] | None = self._sealer.open(request.cookies.get(_COOKIE, ""))
        return await self.find(content["id"]) if content else None

    async def followed(self, request: Request) -> Found:
        """The same, for a form on its page. Raises Problem 403 if the browser follows none any more."""
        found = await self.remembered(request)
        if found is None:
            raise Problem(403, "not-followed", "This browser does not follow a case any more")
        return found
