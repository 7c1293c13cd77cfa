"""Subscribing: by e-mail with double opt-in, by webhook with an echoed challenge; leaving by one click."""

import secrets as random_secrets
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.publisher.commands import subscriptions
from services.publisher.derived_secrets import LinkPurpose
from services.publisher.domain.addresses import email_address
from services.publisher.domain.publications import TOPICS, is_topic
from services.publisher.domain.subscriptions import SubscriptionRequest
from services.publisher.http.context import Context, once, refusals, respond
from services.publisher.push.guard import Forbidden
from services.publisher.push.webhooks import Webhooks
from shared.ids import is_id, new_id
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.idempotency import Request as KeyedRequest
from shared.web.bodies import FieldError, Form, blank_form, read_form, read_model
from shared.web.i18n import language_of
from shared.web.keys import keyed_form, keyed_stranger
from shared.web.openapi import takes
from shared.web.problems import Problem
from shared.web.ratelimit import RateLimit
from shared.web.state import web_state
from shared.webhooks import webhook_url

SUBSCRIPTIONS = "/api/publisher/v1/subscriptions"


def _topics(codes: tuple[str, ...]) -> tuple[str, ...]:
    if not all(is_topic(code) for code in codes):
        raise ValueError("a topic is a code of a-z, 0-9 and dashes; leave the list empty for all")
    return tuple(dict.fromkeys(codes))


Topics = Annotated[tuple[str, ...], Field(max_length=20), AfterValidator(_topics)]


class Subscribe(BaseModel):
    """What the API takes: `address` for e-mail, `url` for a webhook; no `topics` means all."""

    model_config = ConfigDict(extra="forbid")

    lane: Literal["email", "webhook"]
    address: Annotated[str, Field(max_length=254)] | None = None
    url: Annotated[str, Field(max_length=2000)] | None = None
    topics: Topics = ()
    language: Literal["zh", "en"] = "zh"


class SubscribeForm(BaseModel):
    """What the page takes."""

    address: Annotated[str, Field(max_length=254)]
    topics: Topics = ()
    idempotency_key: Annotated[str, Field(min_length=1, max_length=64)]


class _NotYet(Exception):
    """Rolls the claim of a key back."""


class _Subscribing:
    """What the routes do."""

    def __init__(self, context: Context) -> None:
        self.context = context
        # Against using us to fill other people's mailboxes, or to call other people's servers.
        self._per_client = RateLimit(burst=10, seconds=30)
        self._per_address = RateLimit(burst=3, seconds=3600)

    async def by_email(self, request: Request, body: Subscribe, address: str) -> Response:
        keyed_request = await keyed_stranger(request, "anonymous")
        wish = SubscriptionRequest("email", address, body.topics, body.language)
        return respond(await self._ask(request, keyed_request, wish))

    async def by_webhook(self, request: Request, body: Subscribe, url: str) -> Response:
        context = self.context
        keyed_request = await keyed_stranger(request, "anonymous")
        identifier = new_id(context.database.clock.now())
        answer = await self._answered(keyed_request)
        if answer is not None:
            return self._with_secret(answer)
        self._limit(request, url)
        await self._challenge(url, identifier)
        wish = SubscriptionRequest("webhook", url, body.topics, body.language)
        async with refusals(), context.database.transaction(new=[identifier]) as tx:
            older = await subscriptions.lock_older(tx, "webhook", context.secrets.address_hash(url))

            async def act() -> Answer:
                await subscriptions.add_webhook(tx, identifier, wish, context.secrets, older)
                return Answer(201, {"id": identifier, "state": "active", "lane": "webhook"})

            return self._with_secret(await once(tx, keyed_request, act))

    async def _answered(self, request: KeyedRequest) -> Answer | None:
        """The earlier answer, claiming nothing: the endpoint is not waited for inside a transaction."""
        async with refusals():
            try:
                async with self.context.database.transaction() as tx:
                    answer = await request.earlier_answer(tx)
                    if answer is None:
                        raise _NotYet  # noqa: TRY301  (the way to roll the transaction back)
            except _NotYet:
                return None
            return answer

    async def by_form(self, request: Request, form: SubscribeForm, address: str, language: str) -> None:
        said = form.model_dump_json(exclude={"idempotency_key"}).encode()
        keyed_request = keyed_form(request, "anonymous", form.idempotency_key, said)
        await self._ask(request, keyed_request, SubscriptionRequest("email", address, form.topics, language))

    async def _ask(self, request: Request, keyed_request: KeyedRequest, wish: SubscriptionRequest) -> Answer:
        context = self.context
        identifier = new_id(context.database.clock.now())
        async with refusals(), context.database.transaction(new=[identifier]) as tx:

            async def act() -> Answer:
                self._limit(request, wish.address)
                await subscriptions.ask(tx, identifier, wish, context.secrets)
                # No id: whoever asks does not own the address yet.
                return Answer(202, {"state": "confirmation_asked", "lane": "email"})

            return await once(tx, keyed_request, act)

    async def leave(self, subscription: str) -> None:
        async with self.context.database.transaction([subscription]) as tx:
            await subscriptions.leave(tx, subscription)

    def check(self, purpose: LinkPurpose, subscription: str, token: str) -> None:
        """Raises Problem 404 for a link that is not ours."""
        if not is_id(subscription) or not self.context.secrets.is_token(purpose, subscription, token):
            raise Problem(404, "no-such-link", "This link is not one of ours")

    async def _challenge(self, url: str, identifier: str) -> None:
        async with Webhooks(self.context.guard) as webhooks:
            try:
                echoed = await webhooks.echoes(
                    url, identifier, self.context.secrets.webhook_secret(identifier)
                )
            except Forbidden:
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

    def _with_secret(self, answer: Answer) -> Response:
        # Derived from the id, so it is told again to whoever repeats the request, and stored nowhere.
        secret = self.context.secrets.webhook_secret(answer.body["id"])
        response = respond(Answer(answer.status, answer.body | {"secret": secret}))
        response.headers["Location"] = f"{SUBSCRIPTIONS}/{answer.body['id']}"
        return response

    def _limit(self, request: Request, address: str) -> None:
        self._per_client.take(request.client.host if request.client else "")
        self._per_address.take(self.context.secrets.address_hash(address).hex())


def subscribing_router(context: Context) -> APIRouter:
    """`/api/publisher/v1/subscriptions` and `/subscribe`."""
    router = APIRouter()
    subscribing = _Subscribing(context)

    @router.post(
        SUBSCRIPTIONS,
        status_code=202,
        tags=["subscriptions"],
        openapi_extra=takes(Subscribe),
    )
    async def subscribe(request: Request) -> Response:
        """E-mail: 202, and a mail asks whether the address wants it.

        Webhook: the endpoint is challenged at once; 201 with the `whsec_` secret, shown here alone. With it
        the subscription is looked at and ended at the address in `Location`.
        """
        body = await read_model(request, Subscribe)
        if body.lane == "email":
            address = email_address(body.address or "")
            if address is None:
                raise _invalid("/address", "an e-mail address such as name@example.org")
            return await subscribing.by_email(request, body, address)
        url = webhook_url(body.url or "", plain_http=context.plain_http)
        if url is None:
            raise _invalid("/url", "an https address without user, password and fragment")
        return await subscribing.by_webhook(request, body, url)

    @router.get("/subscribe", include_in_schema=False)
    async def form_page(request: Request) -> Response:
        return _page(context, request, blank_form(), ())

    @router.post("/subscribe", include_in_schema=False)
    async def form_sent(request: Request) -> Response:
        form = await read_form(request, SubscribeForm)
        chosen = form.value.topics if form.value else form.chosen["topics"]
        address = email_address(form.value.address) if form.value else None
        if form.value is None or address is None:
            errors = form.errors or (FieldError("address", "email"),)
            return _page(context, request, Form(None, errors, form.typed), chosen, status=422)
        language = language_of(request, web_state(request).settings.language)
        await subscribing.by_form(request, form.value, address, language)
        return RedirectResponse("/subscribe/asked", 303)

    @router.get("/subscribe/asked", include_in_schema=False)
    async def asked(request: Request) -> Response:
        return context.pages.render(request, "subscription.html", message="asked", action=None)

    @router.get("/subscribe/confirm/{subscription}/{token}", include_in_schema=False)
    async def confirm_page(request: Request, subscription: str, token: str) -> Response:
        # A page with a button: scanners of mail open links, and must not consent in anybody's name.
        subscribing.check("confirm", subscription, token)
        return context.pages.render(request, "subscription.html", message="confirm", action=request.url.path)

    @router.post("/subscribe/confirm/{subscription}/{token}", include_in_schema=False)
    async def confirm(request: Request, subscription: str, token: str) -> Response:
        subscribing.check("confirm", subscription, token)
        known = await subscriptions.confirm(context.database, subscription)
        message = "confirmed" if known else "lapsed"
        return context.pages.render(
            request, "subscription.html", status=200 if known else 410, message=message, action=None
        )

    @router.get("/subscribe/leave/{subscription}/{token}", include_in_schema=False)
    async def leave_page(request: Request, subscription: str, token: str) -> Response:
        subscribing.check("leave", subscription, token)
        return context.pages.render(request, "subscription.html", message="leave", action=request.url.path)

    @router.post("/subscribe/leave/{subscription}/{token}", include_in_schema=False)
    async def leave(request: Request, subscription: str, token: str) -> Response:
        # RFC 8058: mail programs post here without cookies, so the link is the authority.
        subscribing.check("leave", subscription, token)
        await subscribing.leave(subscription)
        return context.pages.render(request, "subscription.html", message="left", action=None)

    return router


def _page(
    context: Context, request: Request, form: Form[SubscribeForm], chosen: tuple[str, ...], status: int = 200
) -> Response:
    return context.pages.render(
        request,
        "subscribe.html",
        status=status,
        form=form,
        key=form.typed.get("idempotency_key") or random_secrets.token_urlsafe(24),
        chosen=chosen,
        topics=TOPICS,
        mail_works=context.mail_works,
    )


def _invalid(place: str, expected: str) -> Problem:
    return Problem(
        422,
        "invalid",
        "The request is understood but not valid",
        errors=[{"pointer": place, "detail": f"expected {expected}"}],
    )
