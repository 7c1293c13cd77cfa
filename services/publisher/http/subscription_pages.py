"""`/subscribe`: the form, and the pages behind the links in mails. Opening a link changes nothing."""

import secrets as random_secrets

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.publisher.commands import subscriptions
from services.publisher.derived_secrets import LinkPurpose
from services.publisher.domain.addresses import email_address
from services.publisher.domain.publications import TOPICS
from services.publisher.domain.subscriptions import SubscriptionRequest
from services.publisher.http.answers import refusals
from services.publisher.http.context import Context, Ctx
from services.publisher.http.subscription_requests import SubscribeForm
from shared.ids import is_id
from shared.web.bodies import FieldError, Form, blank_form, read_form
from shared.web.i18n import language_of
from shared.web.keys import keyed_form
from shared.web.problems import Problem
from shared.web.state import web_state

router = APIRouter(include_in_schema=False)


@router.get("/subscribe")
async def form_page(request: Request, ctx: Ctx) -> Response:
    """An empty form."""
    return _form_page(request, ctx, blank_form(), ())


@router.post("/subscribe")
async def form_sent(request: Request, ctx: Ctx) -> Response:
    """Stores the request and sends the confirmation mail."""
    form = await read_form(request, SubscribeForm)
    chosen = form.value.topics if form.value else form.chosen["topics"]
    address = email_address(form.value.address) if form.value else None
    if form.value is None or address is None:
        errors = form.errors or (FieldError("address", "email"),)
        return _form_page(request, ctx, Form(None, errors, form.typed), chosen, status=422)
    language = language_of(request, web_state(request).settings.language)
    body = form.value.model_dump_json(exclude={"idempotency_key"}).encode()
    key = keyed_form(request, "anonymous", form.value.idempotency_key, body)
    asked = SubscriptionRequest("email", address, form.value.topics, language)
    with refusals():
        await subscriptions.subscribe_email(
            ctx.database, key, asked, ctx.secrets, admit=lambda: ctx.limit(request, address)
        )
    return RedirectResponse("/subscribe/asked", 303)


@router.get("/subscribe/asked")
async def asked(request: Request, ctx: Ctx) -> Response:
    """A mail is on its way."""
    return ctx.pages.render(request, "subscription.html", message="asked", action=None)


@router.get("/subscribe/confirm/{subscription}/{token}")
async def confirm_page(request: Request, ctx: Ctx, subscription: str, token: str) -> Response:
    """A page with a button: mail scanners open links, and must not consent for anybody."""
    _check(request, ctx, "confirm", subscription, token)
    return ctx.pages.render(request, "subscription.html", message="confirm", action=request.url.path)


@router.post("/subscribe/confirm/{subscription}/{token}")
async def confirm(request: Request, ctx: Ctx, subscription: str, token: str) -> Response:
    """Consents; 410 if the request has lapsed."""
    _check(request, ctx, "confirm", subscription, token)
    known = await subscriptions.confirm(ctx.database, subscription)
    message = "confirmed" if known else "lapsed"
    return ctx.pages.render(
        request, "subscription.html", status=200 if known else 410, message=message, action=None
    )


@router.get("/subscribe/leave/{subscription}/{token}")
async def leave_page(request: Request, ctx: Ctx, subscription: str, token: str) -> Response:
    """A page with a button, as for confirming."""
    _check(request, ctx, "leave", subscription, token)
    return ctx.pages.render(request, "subscription.html", message="leave", action=request.url.path)


@router.post("/subscribe/leave/{subscription}/{token}")
async def leave(request: Request, ctx: Ctx, subscription: str, token: str) -> Response:
    """Leaves. Mail programs post here without cookies (RFC 8058), so the link is the authority."""
    _check(request, ctx, "leave", subscription, token)
    await subscriptions.leave_by_link(ctx.database, subscription)
    return ctx.pages.render(request, "subscription.html", message="left", action=None)


def _check(request: Request, ctx: Context, purpose: LinkPurpose, subscription: str, token: str) -> None:
    """Raises Problem 404 for a link that is not ours, 429 after too many of those."""
    if not is_id(subscription) or not ctx.secrets.is_token(purpose, subscription, token):
        ctx.count_wrong_secret(request)
        raise Problem(404, "no-such-link", "This link is not one of ours")


def _form_page(
    request: Request, ctx: Context, form: Form[SubscribeForm], chosen: tuple[str, ...], status: int = 200
) -> Response:
    return ctx.pages.render(
        request,
        "subscribe.html",
        status=status,
        form=form,
        key=form.typed.get("idempotency_key") or random_secrets.token_urlsafe(24),
        chosen=chosen,
        topics=TOPICS,
        mail_works=ctx.mail_works,
    )
