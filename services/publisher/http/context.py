"""What the routes share: their context, what is result once per key, and how refusals are told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from services.publisher.commands.publications import Attribution, NoSuchPublication, Refused
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.push.guard import Guard
from shared.errors import Conflict
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.idempotency import Request as Keyed
from shared.unit_of_work.transaction import Tx
from shared.web.keys import clash
from shared.web.pages import Pages
from shared.web.problems import Problem
from shared.web.session import Person


@dataclass(frozen=True, slots=True)
class Context:
    """What the routes work with. `mail_works`: a mail server is named; `plain_http`: webhooks may use it."""

    database: Database
    pages: Pages
    secrets: DerivedSecrets
    guard: Guard
    public_url: str
    policy: str
    jurisdiction: str
    mail_works: bool
    plain_http: bool

    def attribution(self, person: Person) -> Attribution:
        """In whose name and under which rules the person acts."""
        return Attribution(person.actor, self.policy, self.jurisdiction)


async def once(tx: Tx, request: Keyed, act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Does the act the first time; a repeat gets the answer of then. Raises KeyReused."""
    answer = await request.earlier_answer(tx)
    if answer is None:
        answer = await act()
        await request.remember(tx, answer)
    return answer


def respond(answer: Answer) -> Response:
    """The answer as JSON."""
    return JSONResponse(answer.body, answer.status)


@asynccontextmanager
async def refusals() -> AsyncIterator[None]:
    """Turns what the rules say into problems: 404, or 409 with state, rule and what is allowed."""
    try:
        yield
    except NoSuchPublication:
        raise no_publication() from None
    except Refused as error:
        raise refused(error) from None
    except Conflict as error:
        raise clash(error) from None


def no_publication() -> Problem:
    return Problem(404, "no-such-publication", "There is no such publication")


def refused(error: Refused) -> Problem:
    refusal = error.refusal
    extra: dict[str, Any] = {"state": refusal.state, "rule": refusal.rule, "allowed": list(refusal.allowed)}
    return Problem(409, f"rule-{refusal.rule.replace('_', '-')}", "The rules do not allow this now", **extra)
