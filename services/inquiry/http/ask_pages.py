"""/ask: a citizen states a concern; /ask/received: number, secret, deadline and receipt, at once."""

import secrets
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.commands import CaseCommands
from services.inquiry.domain.concern import flaws_of
from services.inquiry.http.access import Access
from services.inquiry.http.answers import proof, taken
from services.inquiry.http.bodies import AskForm
from services.inquiry.http.views import case_view, kind_choices, reader_language, service_groups
from services.inquiry.queries import case_of
from shared.errors import EventTooLarge
from shared.ids import secret_hash
from shared.policy.errors import CalendarRange
from shared.unit_of_work.idempotency import KeyReused
from shared.web.bodies import FieldError, Form, read_form
from shared.web.keys import keyed_form
from shared.web.pages import Pages
from shared.web.problems import Problem


def ask_pages(commands: CaseCommands, access: Access, pages: Pages) -> APIRouter:
    """The pages of intake."""
    router = APIRouter(include_in_schema=False)
    policies = commands.policies

    def form_page(request: Request, form: Form[AskForm]) -> Response:
        pack, language = policies.current, reader_language(request)
        return pages.render(
            request,
            "ask.html",
            status=422 if form.errors else 200,
            form=form,
            key=form.typed.get("idempotency_key") or secrets.token_urlsafe(24),
            groups=service_groups(pack, language),
            kinds=kind_choices(pack, language),
            areas=[(area.code, area.in_language(language)) for area in pack.areas],
        )

    @router.get("/ask")
    async def ask(request: Request) -> Response:
        # A link from a publication or a search may bring what is known already.
        typed = {
            name: request.query_params[name]
            for name in ("title", "kind", "service_code", "area")
            if name in request.query_params
        }
        return form_page(request, Form(None, (), typed))

    @router.post("/ask")
    async def send(request: Request) -> Response:
        form = await read_form(request, AskForm)
        if form.value is None:
            return form_page(request, form)
        new = form.value.inquiry(reader_language(request))
        concern = new.concern(policies.current, "web")
        flaws = flaws_of(concern, policies.current)
        if flaws:
            errors = tuple(FieldError(flaw.member, flaw.code) for flaw in flaws)
            return form_page(request, Form(None, errors, form.typed))
        keyed = keyed_form(
            request, "citizen", form.value.idempotency_key, form.value.model_dump_json().encode()
        )
        try:
            value = await commands.batcher.take_in(keyed, concern, "citizen")
        except KeyReused:
            raise Problem(409, "form-sent-already", "This form was sent already with another text") from None
        except (CalendarRange, EventTooLarge) as error:
            raise Problem(422, "cannot-take-in", "This concern cannot be taken in", str(error)) from error
        response = RedirectResponse("/ask/received", 303)
        access.remember(response, taken(value, commands.intake.secret)["id"])
        return response

    @router.get("/ask/received")
    async def received(request: Request) -> Response:
        found = await access.remembered(request)
        if found is None:
            return RedirectResponse("/track", 303)
        secret = commands.intake.secret(found["id"])
        if secret_hash(secret) != found["secret_hash"]:
            return RedirectResponse("/track/case", 303)  # its id and secret were made elsewhere
        pack = await policies.find(commands.database.pool, case_of(found).policy_version)
        now = commands.database.clock.now()
        context: dict[str, Any] = {
            "case": case_view(found, (), pack, reader_language(request), now),
            "secret": secret,
        }
        return pages.render(request, "received.html", proof=proof(context["case"]["event_id"]), **context)

    return router
