"""Turns a problem into what the caller can read: a problem document, or a page."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.web.callers import SignInNeeded
from shared.web.problems import Problem, as_problem, problem_response, wants_page
from shared.web.state import web_state


def answer(request: Request, problem: Problem) -> Response:
    """The problem as a page for a browser, else as `application/problem+json`."""
    if not wants_page(request):
        return problem_response(problem)
    response = web_state(request).pages.render(
        request, "error.html", status=problem.status_code, problem=problem, document=problem.document()
    )
    response.headers.update(problem.headers or {})
    return response


async def handle(request: Request, error: Exception) -> Response:
    """Starlette's handler for every exception that stands for a problem."""
    if isinstance(error, SignInNeeded):
        return RedirectResponse(error.location, 303)
    return answer(request, as_problem(error))
