"""Paths in a document as JSON pointers (RFC 6901)."""

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def pointer(path: Iterable[int | str], error_type: str = "") -> str:
    """`("items", 0, "a/b")` as `/items/0/a~1b`.

    The name of an unknown member (pydantic's error type `extra_forbidden`) is text of the caller: unless it
    is plain the pointer leads to the object around it.
    """
    parts = [str(part) for part in path]
    if error_type == "extra_forbidden" and parts and not _PLAIN.fullmatch(parts[-1]):
        parts.pop()
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
