"""What the routes work with, and their dependencies."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from services.publisher.commands.publications import Attribution
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.push.guard import Guard
from shared.unit_of_work.database import Database
from shared.web.callers import require
from shared.web.clients import client_of
from shared.web.pages import Pages
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT, RateLimit
from shared.web.session import Person

STAFF = ("editor", "approver")


@dataclass(frozen=True, slots=True)
class Context:
    """What the routes work with.

    `policy` and `jurisdiction` are those of the pack; `mail_works`: SMTP_URL is set; `plain_http` allows
    webhooks without TLS. `per_client` and `per_address` limit subscription requests, so that nobody fills
    other people's mailboxes or calls other people's servers through us. `_wrong_secrets` limits, per client,
    what wrong secrets and links cost; a right one is never refused.
    """

    database: Database
    pages: Pages
    secrets: DerivedSecrets
    guard: Guard
    public_url: str
    policy: str
    jurisdiction: str
    mail_works: bool
    plain_http: bool
    per_client: RateLimit = field(default_factory=lambda: RateLimit(burst=10, seconds=30))
    per_address: RateLimit = field(default_factory=lambda: RateLimit(burst=3, seconds=3600))
    _wrong_secrets: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_CLIENT))

    def attribution(self, person: Person) -> Attribution:
        """Who acts, and under which rules."""
        return Attribution(person.actor, self.policy, self.jurisdiction)

    def limit(self, request: Request, address: str) -> None:
        """Counts a subscription request of this client for this address. Raises Problem 429."""
        self.per_client.take(client_of(request))
        self.per_address.take(self.secrets.address_hash(address).hex())

    def count_wrong_secret(self, request: Request) -> None:
        """Counts a secret, or a link's token, that was looked at and is wrong. Raises Problem 429."""
        self._wrong_secrets.take(client_of(request))


async def context(request: Request) -> Context:
    """A dependency: the context of the application that serves this request.

    Asynchronous, since FastAPI runs a plain function in a thread: a hop on every request.
    """
    found: Context = request.app.state.context
    return found


Ctx = Annotated[Context, Depends(context)]
Editor = Annotated[Person, Depends(require("editor"))]
Approver = Annotated[Person, Depends(require("approver"))]
Staff = Annotated[Person, Depends(require(*STAFF))]
