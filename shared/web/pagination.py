"""Lists page by cursor: where the last page ended, so that new rows neither repeat nor hide others."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson

from shared.web.problems import Problem

T = TypeVar("T")
Part = str | int
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the following one, None at the end."""

    items: Sequence[T]
    next: str | None


def page_of(rows: Sequence[T], limit: int, place: Callable[[T], tuple[Part, ...]]) -> Page[T]:
    """The page made of a query that asked for `limit + 1` rows; `place` gives the sort key of a row."""
    items = rows[:limit]
    return Page(items, write_cursor(*place(items[-1])) if len(rows) > limit else None)


def write_cursor(*parts: Part) -> str:
    """An opaque cursor of the sort key at which a page ends."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type[Any]) -> tuple[Any, ...] | None:
    """The parts of a cursor, each of its kind (str or int); None for no cursor. Raises Problem 400."""
    if not cursor:
        return None
    parts = _decode(cursor)
    fits = isinstance(parts, list) and [type(part) for part in parts] == list(kinds)
    if not fits or any(isinstance(part, str) and "\0" in part for part in parts):
        raise Problem(
            400, "bad-cursor", "The cursor is not one of ours", "Begin the list again without `cursor`."
        )
    return tuple(parts)


def _decode(cursor: str) -> Any:
    if len(cursor) > _LONGEST:
        return None
    try:
        return orjson.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except ValueError:  # binascii.Error and orjson.JSONDecodeError are such
        return None


def query(**parts: str | int | None) -> str:
    """The query of an address that keeps its place, of what is given; begins with `?`, or is empty."""
    encoded = urlencode({name: part for name, part in parts.items() if part not in (None, "")})
    return f"?{encoded}" if encoded else ""
