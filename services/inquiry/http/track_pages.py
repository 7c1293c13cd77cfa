"""/track: number and secret, then the case in plain words, with what the citizen can do now."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.inquiry.commands import CITIZEN
from services.inquiry.domain.decisions import allowed_to_citizen
from services.inquiry.http.answers import errors_as_problems, proof, receipt_file
from services.inquiry.http.bodies import ErasureForm, EvaluationForm, ReopenForm, TrackForm
from services.inquiry.http.context import Context, Ctx
from services.inquiry.http.views import case_view, reader_language
from services.inquiry.queries import CaseRecord, read_steps
from shared.contracts.inquiry import Evaluation
from shared.unit_of_work.idempotency import Answer
from shared.unit_of_work.idempotency import Request as Keyed
from shared.web.bodies import EmptyForm, FieldError, Form, read_form
from shared.web.keys import keyed_form
from shared.web.problems import Problem

router = APIRouter(include_in_schema=False)
_EMPTY: Form[TrackForm] = Form(None, (), {})
F = TypeVar("F", EvaluationForm, ReopenForm, ErasureForm)
Command = Callable[[Keyed, str, F], Awaitable[Answer]]


@router.get("/track")
async def track(request: Request, ctx: Ctx) -> Response:
    """The form that asks for number and secret."""
    typed = {"number": request.query_params["number"]} if "number" in request.query_params else {}
    return ctx.pages.render(request, "track.html", form=Form(None, (), typed))


@router.post("/track")
async def show(request: Request, ctx: Ctx) -> Response:
    """Remembers the case in this browser and redirects to it, or shows the form with its errors."""
    form = await read_form(request, TrackForm)
    if form.value is None:
        return ctx.pages.render(request, "track.html", status=422, form=form)
    try:
        record = await ctx.access.open(request, form.value.number, form.value.secret)
    except Problem as problem:
        if problem.status_code != 404:
            raise
        errors = (FieldError("number", "no_such_case"),)
        refused: Form[TrackForm] = Form(None, errors, {"number": form.value.number})
        return ctx.pages.render(request, "track.html", status=404, failed=True, form=refused)
    response = RedirectResponse("/track/case", 303)
    ctx.access.remember(response, record.id)
    return response


@router.get("/track/case")
async def case(request: Request, ctx: Ctx) -> Response:
    """The case that this browser follows."""
    record = await ctx.access.remembered(request)
    return RedirectResponse("/track", 303) if record is None else await _case_page(request, ctx, record)


@router.get("/track/receipt")
async def receipt(request: Request, ctx: Ctx) -> Response:
    """The receipt of that case, as a file."""
    return receipt_file(await ctx.access.followed(request))


@router.post("/track/case/evaluation")
async def evaluate(request: Request, ctx: Ctx) -> Response:
    """评价 by the citizen."""

    async def command(key: Keyed, inquiry: str, form: EvaluationForm) -> Answer:
        contacted = None if form.contacted is None else form.contacted == "yes"
        evaluation = Evaluation(contacted=contacted, solved=form.solved, rating=form.rating)
        return await ctx.commands.evaluate(key, inquiry, evaluation, form.comment)

    return await _act(request, ctx, EvaluationForm, "evaluation", command)


@router.post("/track/case/reopen")
async def reopen(request: Request, ctx: Ctx) -> Response:
    """重办, requested by the citizen."""

    async def command(key: Keyed, inquiry: str, form: ReopenForm) -> Answer:
        return await ctx.commands.reopen(key, inquiry, form.comment)

    return await _act(request, ctx, ReopenForm, "rework", command)


@router.post("/track/case/erasure")
async def erase(request: Request, ctx: Ctx) -> Response:
    """Erasure, requested by the citizen."""

    async def command(key: Keyed, inquiry: str, _: ErasureForm) -> Answer:
        return await ctx.commands.erase(key, inquiry, "citizen_request", CITIZEN)

    return await _act(request, ctx, ErasureForm, "erasure", command)


@router.post("/track/leave")
async def leave(request: Request, ctx: Ctx) -> Response:
    """This browser forgets the case."""
    await read_form(request, EmptyForm)
    response = RedirectResponse("/track", 303)
    ctx.access.forget(response)
    return response


async def _act(request: Request, ctx: Context, model: type[F], name: str, command: Command[F]) -> Response:
    """Gives the command of a form on the case's page; `name` is the form's name in the template."""
    form = await read_form(request, model)
    record = await ctx.access.followed(request)
    if form.value is None:
        return await _case_page(request, ctx, record, **{name: form})
    body = form.value.model_dump_json().encode()
    key = keyed_form(request, f"case {record.id}", form.value.idempotency_key, body)
    with errors_as_problems():
        await command(key, record.id, form.value)
    return RedirectResponse("/track/case", 303)


async def _case_page(request: Request, ctx: Context, record: CaseRecord, **forms: object) -> Response:
    """The page of the case; `forms` are those that came back with errors, by their names in the template."""
    pool, now = ctx.database.pool, ctx.database.clock.now()
    pack = await ctx.policies.find(pool, record.case.policy_version)
    view = case_view(record, await read_steps(pool, record.id), pack, reader_language(request), now)
    return ctx.pages.render(
        request,
        "case.html",
        status=422 if forms else 200,
        case=view,
        can=allowed_to_citizen(record.case, pack, now),
        now=now,
        proof=proof(view["event_id"]),
        key=secrets.token_urlsafe(24),
        **{"evaluation": _EMPTY, "rework": _EMPTY, "erasure": _EMPTY, **forms},
    )
