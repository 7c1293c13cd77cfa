"""A subscription in the hands of whom it belongs to: looked at, ended, given a new secret over the API."""

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from services.publisher.commands import subscriptions
from services.publisher.http.context import Context, once, refusals, respond
from services.publisher.http.publications_api import STAFF
from services.publisher.http.subscription_pages import SUBSCRIPTIONS
from services.publisher.http.views import subscription_json
from services.publisher.queries import QUERIES
from shared.clock import machine_now
from shared.ids import is_id
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.transaction import Connection, Tx
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
            await _owned(context, subscription, secret)
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
        await _owned(context, subscription, secret)
        keyed_request = await keyed(request, "subscriber")
        async with refusals(), context.database.transaction([subscription]) as tx:

            async def act() -> Answer:
                sequence = await subscriptions.leave(tx, subscription)
                return Answer(200, {"id": subscription, "state": "ended", "sequence": sequence})

            return respond(await once(tx, keyed_request, act))

    @router.post("/rotate")
    async def rotate(request: Request, subscription: str, secret: Secret = None) -> Response:
        """Gives a webhook a new secret, told here alone.

        For 24 hours each delivery has two signatures, that of the new secret first, so that no moment is
        without one that the receiver can verify; here the new secret alone is taken, at once.
        """
        shown = _shown(secret)
        keyed_request = await keyed(request, "subscriber")
        if not is_id(subscription):
            raise _unknown()
        async with refusals(), context.database.transaction([subscription]) as tx:
            answer = await keyed_request.earlier_answer(tx)
            if answer is None:
                generation = await _generation(tx.connection, subscription)
                known = {generation}
            else:
                # Whoever did not get the answer has only the secret of before.
                generation = answer.body["generation"]
                known = {generation - 1, generation}
            if not any(context.secrets.is_webhook_secret(subscription, each, shown) for each in known):
                raise _unknown()
            if answer is None:
                answer = await _rotated(tx, subscription)
                await keyed_request.remember(tx, answer)
        new = context.secrets.webhook_secret(subscription, answer.body["generation"])
        return respond(Answer(answer.status, {"id": subscription, "secret": new}))

    return router


async def _rotated(tx: Tx, subscription: str) -> Answer:
    generation = await tx.connection.fetchval(QUERIES["rotate_secret"], subscription, machine_now())
    if generation is None:
        raise Problem(409, "subscription-ended", "The subscription has ended")
    return Answer(200, {"generation": generation})


async def _owned(context: Context, subscription: str, secret: str | None) -> None:
    """Raises Problem 401 without a secret, 404 for a wrong one: it does not tell which ids exist."""
    shown = _shown(secret)
    if not is_id(subscription):
        raise _unknown()
    generation = await _generation(context.database.pool, subscription)
    if not context.secrets.is_owners(subscription, generation, shown):
        raise _unknown()


async def _generation(connection: Connection | asyncpg.Pool, subscription: str) -> int:
    """0 as well for one that is not there (any more): its secret is the first, and opens nothing."""
    row = await connection.fetchrow(QUERIES["subscription"], subscription)
    return row["generation"] if row else 0


def _shown(secret: str | None) -> str:
    """Raises Problem 401 without a secret."""
    if not secret:
        raise Problem(
            401,
            "secret-needed",
            "The secret of the subscription is needed",
            f"Send it in the header {SECRET_HEADER}.",
        )
    return secret


def _unknown() -> Problem:
    return Problem(404, "no-such-subscription", "There is no subscription of this id and secret")
