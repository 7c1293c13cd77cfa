"""Request bodies, JSON and forms, read into models with errors that name the wrong member or field."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from shared.web.csrf import CSRF_FIELD, check_csrf
from shared.web.pointers import pointer
from shared.web.problems import Problem, invalid

M = TypeVar("M", bound=BaseModel)


class EmptyForm(BaseModel):
    """A form without fields of its own: a button."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of a form; `code` is pydantic's type of the error, or `nul`.

    Pages show the text `form.<field>.<code>`, else `form.error.<code>`, else `form.error.invalid`, filled
    from `params`.
    """

    field: str
    code: str
    params: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form(Generic[M]):
    """A form that was sent.

    Attributes
    ----------
    value
        The model; None if there are errors.
    errors
        In the order of the model's fields.
    typed
        The first value of each field as it was sent, to show the form again; an absent field is "".
    chosen
        All values of the fields that are lists in the model.
    """

    value: M | None
    errors: tuple[FieldError, ...]
    typed: Mapping[str, str]
    chosen: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


class _Typed(dict[str, str]):
    """Sent values by field; an absent field is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def blank_form(**filled: str) -> Form[Any]:
    """A form that was not sent yet, for the first view of its page."""
    return Form(None, (), _Typed(filled))


async def read_model(request: Request, model: type[M]) -> M:
    """The JSON body as `model`, strictly by the types of JSON: `true` is not 1, `"5"` is not a number.

    Raises
    ------
    Problem
        415 for another content type; 400 for invalid JSON, such as half a surrogate; 413 above the limit; 422
        with JSON pointers for wrong types, lengths and values, and for NUL, which PostgreSQL cannot store.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(
            415,
            "not-json-content",
            "This resource takes JSON",
            "Send the body with `Content-Type: application/json`.",
            headers={"Accept": "application/json"},
        )
    body = await request.body()
    try:
        value = model.model_validate_json(body, strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem(400, "not-json", "The body is not JSON", errors[0]["msg"]) from None
        raise invalid(errors) from None
    if b"\\u0000" in body:  # so rare that the second parse does not matter
        _refuse_nul(json.loads(body))
    return value


def _refuse_nul(document: Any) -> None:
    paths = list(_paths_with_nul(document, ()))
    if paths:
        raise Problem(
            422,
            "invalid",
            "The request is understood but not valid",
            errors=[
                {"pointer": pointer(path), "detail": "the character NUL is not text"} for path in paths[:50]
            ],
        )


def _paths_with_nul(value: Any, path: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, dict):
        for key, member in value.items():
            if "\0" in key:
                yield path
            yield from _paths_with_nul(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _paths_with_nul(member, (*path, index))


async def read_form(request: Request, model: type[M]) -> Form[M]:
    """A form (urlencoded or multipart) as `model`, after its CSRF token was checked.

    All values are text, so numbers are parsed. A field sent empty counts as absent; a field sent several
    times becomes a list if it is one in the model. Errors in fields are in the result.

    Raises
    ------
    Problem
        415 for another content type, 400 for a malformed body, 403 for a missing or foreign token, 413 above
        the limit.
    """
    fields = await _form_fields(request)
    check_csrf(request, fields.pop(CSRF_FIELD, [""])[0])
    typed = _Typed((name, values[0].replace("\0", "")) for name, values in fields.items())
    lists = {info.alias or name for name, info in model.model_fields.items() if _is_list(info.annotation)}
    data: dict[str, str | list[str]] = {}
    chosen = {name: tuple(value.replace("\0", "") for value in fields.get(name, ())) for name in lists}
    for name, values in fields.items():
        kept = [value for value in values if value.strip()]
        if kept:
            data[name] = kept if name in lists else kept[0]
    errors = [
        FieldError(name, "nul") for name, values in fields.items() if any("\0" in value for value in values)
    ]
    if errors:
        return Form(None, tuple(errors), typed, chosen)
    try:
        return Form(model.model_validate(data), (), typed, chosen)
    except ValidationError as error:
        errors = [_field_error(detail) for detail in error.errors(include_url=False)]
        return Form(None, tuple(errors), typed, chosen)


async def _form_fields(request: Request) -> dict[str, list[str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise Problem(415, "not-a-form", "This page takes a form")
    try:
        form = await request.form(max_files=0, max_fields=200)
    except Problem:
        raise
    except (HTTPException, UnicodeError, LookupError):
        raise Problem(400, "bad-form", "The form could not be read") from None
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            # Browsers send line ends as CRLF (HTML standard, form submission); one kind is stored.
            fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return fields


def _is_list(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    return origin in (list, tuple, set, frozenset)


def _field_error(detail: ErrorDetails) -> FieldError:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    params = {key: value for key, value in detail.get("ctx", {}).items() if isinstance(value, int | float)}
    return FieldError(name, detail["type"], params)
