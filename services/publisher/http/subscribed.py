"""A subscription in the hands of whom it belongs to: looked at and ended over the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from services.publisher import subscriptions
from services.publisher.http.api import STAFF
from services.publisher.http.edge import Context, once, refusals, respond
from services.publisher.http.subscribing import SUBSCRIPTIONS
from services.publisher.http.views import subscription_json
from services.publisher.queries import QUERIES
from shared.idempotency import Answer
from shared.ids import is_id
from shared.web.callers import current_person
from shared.web.keys import keyed
from shared.web.problems import Problem

SECRET_HEADER = "X-Subscription-Secret"  # noqa: S105  (a name)
Secret = Annotated[
    str | None,
    Header(
        alias=SECRET_HEADER,
        description="The `whsec_` secret of a webhook, or the last part of the link to leave in a mail.",
    ),
]


def subscribed_router(context: Context) -> APIRouter:
    """`/api/publisher/v1/subscriptions/{subscription}`."""
    router = APIRouter(prefix=SUBSCRIPTIONS + "/{subscription}", tags=["subscriptions"])

    @router.get("")
    async def look(request: Request, subscription: str, secret: Secret = None) -> dict[str, Any]:
        """What was asked for and where it stands: for whoever holds its secret, or for staff.

        Never the address: the link in a mail is passed on with the mail.
        """
        person = current_person(request)
        if secret is not None or person is None or person.roles.isdisjoint(STAFF):
            _owned(context, subscription, secret)
        known = is_id(subscription)
        row = await context.database.pool.fetchrow(QUERIES["subscription"], subscription) if known else None
        if row is None:
            raise _unknown()
        return subscription_json(row)

    @router.delete("")
    async def leave(request: Request, subscription: str, secret: Secret = None) -> Response:
        """Ends it for whoever holds its secret; its address is erased, and nothing more is sent there.

        One that has ended already stays ended, and the answer is the same.
        """
        _owned(context, subscription, secret)
        keyed_request = await keyed(request, "subscriber")
        async with refusals(), context.database.transaction([subscription]) as tx:

            async def act() -> Answer:
                sequence = await subscriptions.leave(tx, subscription)
                return Answer(200, {"id": subscription, "state": "ended", "sequence": sequence})

            return respond(await once(tx, keyed_request, act))

    return router


def _owned(context: Context, subscription: str, secret: str | None) -> None:
    """Raises Problem 401 without a secret, 404 for a wrong one: it does not tell which ids exist."""
    if not secret:
        raise Problem(
            401,
            "secret-needed",
            "The secret of the subscription is needed",
            f"Send it in the header {SECRET_HEADER}.",
        )
    if not is_id(subscription) or not context.secrets.is_owners(subscription, secret):
        raise _unknown()


def _unknown() -> Problem:
    return Problem(404, "no-such-subscription", "There is no subscription of this id and secret")
