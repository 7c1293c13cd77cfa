"""Lists in pages by cursor, the sort key at which a page ends: new rows neither repeat nor hide others."""

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
    """One page of a list; `next` is the cursor of the next page, None on the last one."""

    items: Sequence[T]
    next: str | None


def page_of(rows: Sequence[T], limit: int, sort_key: Callable[[T], tuple[Part, ...]]) -> Page[T]:
    """The page of a query for `limit + 1` rows: the extra row shows that there is a next page."""
    items = rows[:limit]
    return Page(items, write_cursor(*sort_key(items[-1])) if len(rows) > limit else None)


def write_cursor(*parts: Part) -> str:
    """The sort key at which a page ends as an opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type[Any]) -> tuple[Any, ...] | None:
    """The sort key of a cursor, whose parts have the types `kinds` (str or int); None without a cursor.

    Raises Problem 400 for any other text.
    """
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
    except ValueError:  # also binascii.Error and orjson.JSONDecodeError
        return None


def query(**parts: str | int | None) -> str:
    """The query string of the given parts, beginning with `?`; empty without parts."""
    encoded = urlencode({name: part for name, part in parts.items() if part not in (None, "")})
    return f"?{encoded}" if encoded else ""
