"""/track: number and secret, then the case in plain words, with what the citizen can do now."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.commands import CaseCommands
from services.inquiry.domain.decisions import allowed_to_citizen
from services.inquiry.http.access import Access, Found
from services.inquiry.http.answers import problem_of, proof
from services.inquiry.http.bodies import ErasureForm, EvaluationForm, ReopenForm, TrackForm
from services.inquiry.http.case_api import receipt_of
from services.inquiry.http.views import case_view, reader_language
from services.inquiry.queries import QUERIES, case_of
from shared.contracts.inquiry import Evaluation
from shared.errors import Conflict
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.idempotency import Request as Keyed
from shared.web.bodies import EmptyForm, FieldError, Form, read_form
from shared.web.keys import keyed_form
from shared.web.pages import Pages
from shared.web.problems import Problem

_EMPTY: Form[TrackForm] = Form(None, (), {})
F = TypeVar("F", EvaluationForm, ReopenForm, ErasureForm)
Run = Callable[[Keyed, str, F], Awaitable[Answer]]


def track_pages(commands: CaseCommands, access: Access, pages: Pages) -> APIRouter:
    """The pages of one case for its citizen."""
    router = APIRouter(include_in_schema=False)
    pool, clock = commands.database.pool, commands.database.clock

    async def case_page(request: Request, found: Found, **forms: object) -> Response:
        pack = await commands.policies.find(pool, case_of(found).policy_version)
        steps = await pool.fetch(QUERIES["read_steps"], found["id"])
        now = clock.now()
        view = case_view(found, steps, pack, reader_language(request), now)
        failed = any(isinstance(form, Form) for form in forms.values())
        return pages.render(
            request,
            "case.html",
            status=422 if failed else 200,
            case=view,
            can=allowed_to_citizen(case_of(found), pack, now),
            now=now,
            proof=proof(view["event_id"]),
            key=secrets.token_urlsafe(24),
            **{"evaluation": _EMPTY, "rework": _EMPTY, "erasure": _EMPTY, **forms},
        )

    @router.get("/track")
    async def track(request: Request) -> Response:
        typed = {"number": request.query_params["number"]} if "number" in request.query_params else {}
        return pages.render(request, "track.html", form=Form(None, (), typed))

    @router.post("/track")
    async def show(request: Request) -> Response:
        form = await read_form(request, TrackForm)
        if form.value is None:
            return pages.render(request, "track.html", status=422, form=form)
        try:
            found = await access.open(request, form.value.number, form.value.secret)
        except Problem as problem:
            if problem.status_code != 404:
                raise
            errors = (FieldError("number", "no_such_case"),)
            return pages.render(
                request,
                "track.html",
                status=404,
                failed=True,
                form=Form(None, errors, {"number": form.value.number}),
            )
        response = RedirectResponse("/track/case", 303)
        access.remember(response, found["id"])
        return response

    @router.get("/track/case")
    async def case(request: Request) -> Response:
        found = await access.remembered(request)
        return RedirectResponse("/track", 303) if found is None else await case_page(request, found)

    @router.get("/track/receipt")
    async def receipt(request: Request) -> Response:
        return receipt_of(await access.followed(request))

    async def act(request: Request, model: type[F], name: str, run: Run[F]) -> Response:
        form = await read_form(request, model)
        found = await access.followed(request)
        if form.value is None:
            return await case_page(request, found, **{name: form})
        body = form.value.model_dump_json().encode()
        keyed = keyed_form(request, f"case {found['id']}", form.value.idempotency_key, body)
        try:
            await run(keyed, found["id"], form.value)
        except Conflict as error:
            raise problem_of(error) from error
        return RedirectResponse("/track/case", 303)

    @router.post("/track/case/evaluation")
    async def evaluate(request: Request) -> Response:
        async def run(keyed: Keyed, inquiry: str, form: EvaluationForm) -> Answer:
            contacted = None if form.contacted is None else form.contacted == "yes"
            evaluation = Evaluation(contacted=contacted, solved=form.solved, rating=form.rating)
            return await commands.evaluate(keyed, inquiry, evaluation, form.comment)

        return await act(request, EvaluationForm, "evaluation", run)

    @router.post("/track/case/reopen")
    async def reopen(request: Request) -> Response:
        async def run(keyed: Keyed, inquiry: str, form: ReopenForm) -> Answer:
            return await commands.reopen(keyed, inquiry, form.comment)

        return await act(request, ReopenForm, "rework", run)

    @router.post("/track/case/erasure")
    async def erase(request: Request) -> Response:
        async def run(keyed: Keyed, inquiry: str, _: ErasureForm) -> Answer:
            return await commands.erase(keyed, inquiry, "citizen_request", "citizen")

        return await act(request, ErasureForm, "erasure", run)

    @router.post("/track/leave")
    async def leave(request: Request) -> Response:
        await read_form(request, EmptyForm)
        response = RedirectResponse("/track", 303)
        access.forget(response)
        return response

    return router
