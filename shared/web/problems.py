"""Errors as problem documents (RFC 9457).

Input is never echoed: it may be a secret, a script, or text that cannot be encoded.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.web.pointers import pointer

TYPE_PREFIX = "urn:civicloom:problem:"

# Pydantic's messages for these error types repeat the input.
_OWN_MESSAGES = {
    "union_tag_invalid": "the value that chooses the form is not a known one",
    "union_tag_not_found": "the value that chooses the form is missing",
    "extra_forbidden": "this member is not known here",
}


class Problem(HTTPException):
    """An error response for the caller; Starlette's HTTPException, so any route may raise it.

    Parameters
    ----------
    status
        The HTTP status.
    slug
        The end of the document's `type`. It is stable: programs may rely on it, but not on title and detail.
    title, detail
        The kind of error in a few words, and what is wrong with this request or what to do.
    headers
        Headers of the response.
    extra
        Further members of the document, such as `errors=[{"pointer": "/title", "detail": "..."}]`.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(status, title, headers=dict(headers) if headers else None)
        self.slug = slug
        self.title = title
        self.explanation = detail
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The members of the problem document."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status_code,
        }
        if self.explanation is not None:
            document["detail"] = self.explanation
        return document | self.extra


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def invalid(errors: Sequence[ErrorDetails], *, skip: int = 0) -> Problem:
    """422 for pydantic's errors: pointer and message of each, without the input.

    The first `skip` parts of each path are dropped: FastAPI begins them with "query" or "path".
    """
    return Problem(
        422,
        "invalid",
        "The request is understood but not valid",
        "See errors: each names the member by a JSON pointer and says what is wrong with it.",
        errors=[
            {"pointer": pointer(error["loc"][skip:], error["type"]), "detail": explain(error)}
            for error in errors[:50]
        ],
    )


def explain(error: ErrorDetails) -> str:
    """Pydantic's message for an error, or our own if pydantic's repeats the input."""
    return _OWN_MESSAGES.get(error["type"], error["msg"])


def of_status(error: HTTPException) -> Problem:
    """The problem for an error of a library that has only a status."""
    try:
        title = HTTPStatus(error.status_code).phrase
    except ValueError:
        title = "Error"
    return Problem(error.status_code, title.lower().replace(" ", "-"), title, headers=error.headers)


def unexpected(reference: str) -> Problem:
    """500 with the reference of the error in the log, and no detail of the error."""
    return Problem(
        500,
        "internal",
        "Something went wrong on our side",
        "The error is logged under the reference. Nothing was stored by halves; try again later.",
        reference=reference,
    )


def unavailable() -> Problem:
    """503 for an outage of database or network."""
    return Problem(
        503,
        "unavailable",
        "This does not work for the moment",
        "Try again in a moment, with the same Idempotency-Key: nothing is taken twice.",
        headers={"Retry-After": "5"},
    )


def wants_page(request: Request) -> bool:
    """Whether a browser asks for a page; addresses of the API always answer in JSON."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def as_problem(error: Exception) -> Problem:
    """The problem for an exception. Raises TypeError for other exceptions."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return invalid(error.errors(), skip=1)
        case ValidationError():
            return invalid(error.errors(include_url=False, include_input=False, include_context=False))
        case HTTPException():
            return of_status(error)
        case _:
            raise TypeError(f"there is no problem for {type(error).__name__}")


def problem_response(problem: Problem) -> Response:
    """The problem as `application/problem+json`."""
    return ProblemResponse(problem.document(), problem.status_code, headers=problem.headers)
