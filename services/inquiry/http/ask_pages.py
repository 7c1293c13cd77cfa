"""/ask: a citizen states a concern; /ask/received: number, secret, deadline and receipt, at once."""

import secrets

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.commands import CITIZEN
from services.inquiry.domain.concern import flaws_of
from services.inquiry.http.answers import intake_answer, proof
from services.inquiry.http.bodies import AskForm
from services.inquiry.http.context import Context, Ctx
from services.inquiry.http.views import case_view, kind_choices, reader_language, service_groups
from shared.errors import EventTooLarge
from shared.ids import secret_hash
from shared.policy.errors import CalendarRange
from shared.unit_of_work.idempotency import KeyReused
from shared.web.bodies import FieldError, Form, read_form
from shared.web.keys import keyed_form
from shared.web.problems import Problem

router = APIRouter(include_in_schema=False)


@router.get("/ask")
async def ask(request: Request, ctx: Ctx) -> Response:
    """The empty form; a link from a publication or a search may prefill some fields."""
    typed = {
        name: request.query_params[name]
        for name in ("title", "kind", "service_code", "area")
        if name in request.query_params
    }
    return _form_page(request, ctx, Form(None, (), typed))


@router.post("/ask")
async def send(request: Request, ctx: Ctx) -> Response:
    """Takes the concern in and redirects to its confirmation, or shows the form with its errors."""
    form = await read_form(request, AskForm)
    if form.value is None:
        return _form_page(request, ctx, form)
    pack = ctx.policies.current
    concern = form.value.inquiry(reader_language(request)).concern(pack, "web")
    flaws = flaws_of(concern, pack)
    if flaws:
        errors = tuple(FieldError(flaw.member, flaw.code) for flaw in flaws)
        return _form_page(request, ctx, Form(None, errors, form.typed))
    key = keyed_form(request, CITIZEN, form.value.idempotency_key, form.value.model_dump_json().encode())
    try:
        value = await ctx.intake_batcher.take_in(key, concern, CITIZEN)
    except KeyReused:
        raise Problem(409, "form-sent-already", "This form was sent already with another text") from None
    except (CalendarRange, EventTooLarge) as error:
        raise Problem(422, "cannot-take-in", "This concern cannot be taken in", str(error)) from error
    response = RedirectResponse("/ask/received", 303)
    ctx.access.remember(response, intake_answer(value, ctx.intake.secret)["id"])
    return response


@router.get("/ask/received")
async def received(request: Request, ctx: Ctx) -> Response:
    """The confirmation, for the browser that has just stated the concern."""
    record = await ctx.access.remembered(request)
    if record is None:
        return RedirectResponse("/track", 303)
    secret = ctx.intake.secret(record.id)
    if secret_hash(secret) != record.secret_hash:
        return RedirectResponse("/track/case", 303)  # its id and secret were made elsewhere
    pack = await ctx.policies.find(ctx.database.pool, record.case.policy_version)
    case = case_view(record, (), pack, reader_language(request), ctx.database.clock.now())
    return ctx.pages.render(request, "received.html", proof=proof(case["event_id"]), case=case, secret=secret)


def _form_page(request: Request, ctx: Context, form: Form[AskForm]) -> Response:
    pack, language = ctx.policies.current, reader_language(request)
    return ctx.pages.render(
        request,
        "ask.html",
        status=422 if form.errors else 200,
        form=form,
        key=form.typed.get("idempotency_key") or secrets.token_urlsafe(24),
        groups=service_groups(pack, language),
        kinds=kind_choices(pack, language),
        areas=[(area.code, area.in_language(language)) for area in pack.areas],
    )
