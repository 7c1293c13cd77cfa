"""Errors as problem documents (RFC 9457), or as a readable page with the same content for a browser.

What the caller sent is never sent back: it may be a secret, a script, or text that cannot be encoded.
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

# What pydantic says about these repeats what was sent.
_OWN_WORDS = {
    "union_tag_invalid": "the value that chooses the form is not a known one",
    "union_tag_not_found": "the value that chooses the form is missing",
    "extra_forbidden": "this member is not known here",
}


class Problem(HTTPException):
    """An error that the caller can understand. `slug` is stable: programs may rely on it, never on the words.

    `extra` are further members of the document, such as `errors=[{"pointer": "/title", "detail": "..."}]`.
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
    """422 for pydantic's errors: where and what, never what was sent.

    `skip` leading parts of each place are FastAPI's own ("query", "path") and left out.
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
    """Pydantic's words for one error, or ours where its words repeat the input."""
    return _OWN_WORDS.get(error["type"], error["msg"])


def of_status(error: HTTPException) -> Problem:
    """A problem for an error that a library raised with nothing but a status."""
    try:
        title = HTTPStatus(error.status_code).phrase
    except ValueError:
        title = "Error"
    return Problem(error.status_code, title.lower().replace(" ", "-"), title, headers=error.headers)


def unexpected(reference: str) -> Problem:
    """500: says nothing of the inside but the reference under which the log tells it."""
    return Problem(
        500,
        "internal",
        "Something went wrong on our side",
        "The error is logged under the reference. Nothing was stored by halves; try again later.",
        reference=reference,
    )


def unavailable() -> Problem:
    """503: the database or the network is away for the moment."""
    return Problem(
        503,
        "unavailable",
        "This does not work for the moment",
        "Nothing was stored. Try again in a moment, with the same Idempotency-Key.",
        headers={"Retry-After": "5"},
    )


def wants_page(request: Request) -> bool:
    """Whether a person with a browser asks: an API answers in JSON whatever Accept says."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def as_problem(error: Exception) -> Problem:
    """The problem that an exception which reached the edge stands for."""
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
            raise TypeError(f"no problem stands for {type(error).__name__}")


def problem_response(problem: Problem) -> Response:
    """The problem as `application/problem+json`."""
    return ProblemResponse(problem.document(), problem.status_code, headers=problem.headers)
