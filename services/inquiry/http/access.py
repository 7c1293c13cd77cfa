"""Access to a case: by its secret, by the cookie of a browser that has shown the secret, or for staff.

Wrong secrets are rate-limited, per case and per client, and the right one never is.
"""

import hmac
from dataclasses import dataclass, field
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.config import (
    TRACKING_SECONDS,
    WRONG_SECRETS_PER_NUMBER,
    tracking_key,
)
from services.inquiry.queries import CaseRecord, find_case
from shared.ids import is_id, read_case_number, secret_hash
from shared.logs import concerns
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.web.clients import client_of
from shared.web.problems import Problem
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT, RateLimit
from shared.web.sealed import Sealer
from shared.web.session import Person

SECRET_HEADER = "X-Case-Secret"  # noqa: S105  (a name)
_COOKIE = "case"
_NO_HASH = secret_hash("")


def no_such_case() -> Problem:
    """The same answer for an unknown number and a wrong secret, so that it does not show which it was."""
    return Problem(
        404,
        "no-such-case",
        "There is no case with this number and secret",
        "Check both. The number is on the confirmation, the secret beside it.",
    )


def not_your_case() -> Problem:
    """The same answer for a case of others and for one that does not exist, as an officer sees it."""
    return Problem(403, "not-your-case", "Your unit does not hold this case")


@dataclass(slots=True)
class Access:
    """Finds cases for readers. One per process: it keeps the rate limits.

    `_sealer` seals the cookie; `_secure` restricts the cookie to https.
    """

    database: Database
    _sealer: Sealer
    _secure: bool
    _per_number: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_NUMBER))
    _per_client: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_CLIENT))

    @classmethod
    def of(cls, database: Database, settings: CoreSettings) -> Self:
        """With the key and the public URL of the settings."""
        secure = settings.public_url.startswith("https://")
        return cls(database, Sealer(tracking_key(settings), "case"), secure)

    async def find(self, reference: str) -> CaseRecord | None:
        """The case by its id, or by its number in any spelling; None if no such case has been received."""
        id_ = reference if is_id(reference) else None
        number = None if id_ else read_case_number(reference)
        if id_ is None and number is None:
            return None
        found = await find_case(self.database.pool, id_, number)
        if found is not None:
            concerns(found.id)
        return found

    async def get(self, reference: str) -> CaseRecord:
        """`find` for staff. Raises Problem 404."""
        found = await self.find(reference)
        if found is None:
            raise Problem(404, "no-such-case", "There is no such case")
        return found

    async def get_to_contact(self, reference: str, person: Person) -> tuple[CaseRecord, str | None]:
        """The case whose contact `person` asks for, and the unit that has to hold it: None for a clerk.

        Raises Problem 403 for an officer whose unit does not hold it, whether it exists or not; 404 for a
        clerk, if it does not.
        """
        if "clerk" in person.roles:
            return await self.get(reference), None
        record, unit = await self.find(reference), person.unit or ""
        if record is None or not record.case.held_by(unit):
            raise not_your_case()
        return record, unit

    async def open(self, request: Request, reference: str, secret: str | None) -> CaseRecord:
        """The case for a caller who shows its secret.

        Only wrong secrets count, and no limit refuses the right one: neither guessing at a case nor another
        person behind the same address can lock the citizen out. 80 random bits withstand any number of
        guesses; the limits are for what they cost.

        Raises Problem 401 without a secret, 404 for a wrong secret or an unknown number, 429 for too many.
        """
        if not secret:
            raise Problem(
                401,
                "secret-needed",
                "The secret of the case is needed",
                f"Send it in the header {SECRET_HEADER}.",
            )
        found = await self.find(reference)
        expected = found.secret_hash if found is not None else _NO_HASH
        right = hmac.compare_digest(secret_hash(secret), expected)
        if found is not None and right:
            return found
        self._per_client.take(client_of(request))
        number = found.number if found is not None else read_case_number(reference) or reference[:64]
        self._per_number.take(number)
        raise no_such_case()

    def remember(self, response: Response, inquiry: str) -> None:
        """Sets the cookie by which this browser follows the case for half an hour without the secret."""
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
        """Deletes the cookie."""
        response.delete_cookie(_COOKIE, path="/", secure=self._secure, httponly=True, samesite="lax")

    async def remembered(self, request: Request) -> CaseRecord | None:
        """The case that this browser follows; None without a valid cookie."""
        content: dict[str, Any] | None = self._sealer.open(request.cookies.get(_COOKIE, ""))
        return await self.find(content["id"]) if content else None

    async def followed(self, request: Request) -> CaseRecord:
        """`remembered` for a form on the page of the case. Raises Problem 403 without a valid cookie."""
        found = await self.remembered(request)
        if found is None:
            raise Problem(403, "not-followed", "This browser does not follow a case any more")
        return found
