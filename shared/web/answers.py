"""Renders a problem for the caller: a problem document, or a page for a browser."""

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
    """The exception handler for all exceptions that `as_problem` knows, and for SignInNeeded."""
    if isinstance(error, SignInNeeded):
        return RedirectResponse(error.location, 303)
    return answer(request, as_problem(error))
