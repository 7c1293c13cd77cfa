"""Answers as JSON, and what the rules refuse as problem documents."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.responses import JSONResponse, Response

from services.publisher.commands.publications import NoSuchPublication
from services.publisher.commands.subscriptions import NoSuchSubscription, SubscriptionHasEnded
from shared.decision import Refused
from shared.errors import Conflict
from shared.ids import is_id
from shared.unit_of_work.idempotency import Answer
from shared.web.keys import clash
from shared.web.problems import Problem


def respond(answer: Answer) -> Response:
    """The answer as JSON."""
    return JSONResponse(answer.body, answer.status)


@contextmanager
def refusals() -> Iterator[None]:
    """Turns errors of commands into problems: 404, or 409 with state, rule and what is allowed."""
    try:
        yield
    except NoSuchPublication:
        raise no_publication() from None
    except NoSuchSubscription:
        raise no_subscription() from None
    except SubscriptionHasEnded:
        raise Problem(409, "subscription-ended", "The subscription has ended") from None
    except Refused as error:
        raise refused(error) from None
    except Conflict as error:
        raise clash(error) from None


def no_publication() -> Problem:
    """404."""
    return Problem(404, "no-such-publication", "There is no such publication")


def check_id(identifier: str) -> None:
    """Raises Problem 404 for what cannot be a publication's id, such as text with NUL."""
    if not is_id(identifier):
        raise no_publication()


def no_subscription() -> Problem:
    """404, for an unknown id and for a wrong secret alike: it does not reveal which ids exist."""
    return Problem(404, "no-such-subscription", "There is no subscription of this id and secret")


def refused(error: Refused) -> Problem:
    """409 with state, rule and the acts that are allowed."""
    refusal = error.refusal
    extra: dict[str, Any] = {"state": refusal.state, "rule": refusal.rule, "allowed": list(refusal.allowed)}
    return Problem(409, f"rule-{refusal.rule.replace('_', '-')}", "The rules do not allow this now", **extra)
