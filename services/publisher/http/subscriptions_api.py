"""`/api/publisher/v1/subscriptions`: subscribe by e-mail or webhook; read, leave, rotate the secret."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from services.publisher.commands import subscriptions
from services.publisher.commands.subscriptions import NoSuchSubscription
from services.publisher.domain.addresses import email_address
from services.publisher.domain.subscriptions import SubscriptionRequest
from services.publisher.http.answers import no_subscription, refusals, respond
from services.publisher.http.context import STAFF, Context, Ctx
from services.publisher.http.subscription_requests import Subscribe
from services.publisher.http.views import subscription_json
from services.publisher.push.errors import PrivateAddress
from services.publisher.push.webhooks import Webhooks
from services.publisher.queries.subscriptions import Subscription
from services.publisher.queries.subscriptions import subscription as find_subscription
from shared.ids import is_id, new_id
from shared.unit_of_work.idempotency import Answer
from shared.web.bodies import read_model
from shared.web.callers import current_person
from shared.web.keys import keyed, keyed_stranger
from shared.web.openapi import takes
from shared.web.problems import Problem
from shared.webhooks import webhook_url

SUBSCRIPTIONS = "/api/publisher/v1/subscriptions"
router = APIRouter(prefix=SUBSCRIPTIONS, tags=["subscriptions"])

SECRET_HEADER = "X-Subscription-Secret"  # noqa: S105  (a name)
Secret = Annotated[
    str | None,
    Header(
        alias=SECRET_HEADER,
        description="The `whsec_` secret of a webhook, or the last part of the link to leave in a mail.",
    ),
]


@router.post("", status_code=202, openapi_extra=takes(Subscribe))
async def subscribe(request: Request, ctx: Ctx) -> Response:
    """E-mail: 202, and a mail asks whether the address wants it.

    Webhook: the endpoint is challenged at once; 201 with the `whsec_` secret, shown here alone. With it
    the subscription is looked at and ended at the address in `Location`.
    """
    body = await read_model(request, Subscribe)
    if body.lane == "email":
        address = email_address(body.address or "")
        if address is None:
            raise _invalid("/address", "an e-mail address such as name@example.org")
        return await _subscribe_email(request, ctx, body, address)
    url = webhook_url(body.url or "", plain_http=ctx.plain_http)
    if url is None:
        raise _invalid("/url", "an https address on port 443 or 8443, without user, password and fragment")
    return await _subscribe_webhook(request, ctx, body, url)


@router.get("/{subscription}")
async def look(request: Request, ctx: Ctx, subscription: str, secret: Secret = None) -> dict[str, Any]:
    """The request and its state, for the holder of its secret or for staff.

    Never the address: a forwarded mail passes on its link.
    """
    person = current_person(request)
    if secret is not None or person is None or person.roles.isdisjoint(STAFF):
        found = await _owned(request, ctx, subscription, secret)
    else:
        found = await find_subscription(ctx.database.pool, subscription) if is_id(subscription) else None
    if found is None:
        raise no_subscription()
    return subscription_json(found)


@router.delete("/{subscription}")
async def leave(request: Request, ctx: Ctx, subscription: str, secret: Secret = None) -> Response:
    """Ends the subscription for the holder of its secret: its address is erased and nothing more is sent.

    Ending it again gives the same answer.
    """
    await _owned(request, ctx, subscription, secret)
    key = await keyed(request, "subscriber")
    with refusals():
        return respond(await subscriptions.leave_by_api(ctx.database, key, subscription))


@router.post("/{subscription}/rotate")
async def rotate(request: Request, ctx: Ctx, subscription: str, secret: Secret = None) -> Response:
    """Gives a webhook a new secret, which is shown only here.

    For 24 hours each delivery has two signatures, the new secret's first, so that the receiver can always
    verify one. This API accepts only the new secret from now on.
    """
    shown = _required(secret)
    key = await keyed(request, "subscriber")
    with refusals(), _counted(request, ctx):
        answer = await subscriptions.rotate(ctx.database, key, subscription, shown, ctx.secrets)
    new = ctx.secrets.webhook_secret(subscription, answer.body["generation"])
    return respond(Answer(answer.status, {"id": subscription, "secret": new}))


async def _subscribe_email(request: Request, ctx: Context, body: Subscribe, address: str) -> Response:
    key = await keyed_stranger(request, "anonymous")
    asked = SubscriptionRequest("email", address, body.topics, body.language)
    with refusals():
        return respond(
            await subscriptions.subscribe_email(
                ctx.database, key, asked, ctx.secrets, admit=lambda: ctx.limit(request, address)
            )
        )


async def _subscribe_webhook(request: Request, ctx: Context, body: Subscribe, url: str) -> Response:
    key = await keyed_stranger(request, "anonymous")
    identifier = new_id(ctx.database.clock.now())
    with refusals():
        answer = await subscriptions.earlier_answer(ctx.database, key)
    if answer is None:
        ctx.limit(request, url)
        await _challenge(ctx, url, identifier)
        asked = SubscriptionRequest("webhook", url, body.topics, body.language)
        with refusals():
            answer = await subscriptions.add_webhook(ctx.database, key, identifier, asked, ctx.secrets)
    # Derived from the id: a repeated request gets the same secret, and nothing stores it.
    secret = ctx.secrets.webhook_secret(answer.body["id"])
    response = respond(Answer(answer.status, answer.body | {"secret": secret}))
    response.headers["Location"] = f"{SUBSCRIPTIONS}/{answer.body['id']}"
    return response


async def _challenge(ctx: Context, url: str, identifier: str) -> None:
    """Raises Problem 422 if the endpoint is not public or does not echo the challenge."""
    async with Webhooks(ctx.guard) as webhooks:
        try:
            echoed = await webhooks.echoes(url, identifier, ctx.secrets.webhook_secret(identifier))
        except PrivateAddress:
            raise Problem(
                422,
                "private-address",
                "This address is not on the public internet",
                errors=[{"pointer": "/url", "detail": "the host must resolve to public addresses only"}],
            ) from None
    if not echoed:
        raise Problem(
            422,
            "challenge-failed",
            "The endpoint did not answer the challenge",
            "It gets a POST with `data.challenge` and must answer 200 with that text, or with "
            '{"challenge": "..."}, within 15 seconds.',
        )


async def _owned(
    request: Request, ctx: Context, subscription: str, secret: str | None
) -> Subscription | None:
    """Raises Problem 401 without a secret, 404 for a wrong one, 429 after too many wrong ones."""
    shown = _required(secret)
    with refusals(), _counted(request, ctx):
        return await subscriptions.owned(ctx.database, subscription, shown, ctx.secrets)


@contextmanager
def _counted(request: Request, ctx: Context) -> Iterator[None]:
    """Counts a wrong secret, of a subscription that exists or not; then Problem 429 after too many."""
    try:
        yield
    except NoSuchSubscription:
        ctx.count_wrong_secret(request)
        raise


def _required(secret: str | None) -> str:
    """Raises Problem 401 without a secret."""
    if not secret:
        raise Problem(
            401,
            "secret-needed",
            "The secret of the subscription is needed",
            f"Send it in the header {SECRET_HEADER}.",
        )
    return secret


def _invalid(pointer: str, expected: str) -> Problem:
    return Problem(
        422,
        "invalid",
        "The request is understood but not valid",
        errors=[{"pointer": pointer, "detail": f"expected {expected}"}],
    )
