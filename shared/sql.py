"""SQL files of named statements: `-- name: insert_case`, a comment with the reason, the statement."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The statements of `file` in `package` by name, read once per process.

    Raises ValueError for a duplicate name.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise ValueError(f"{package}/{file}: the query {name} is defined twice")
        statements[name] = body.strip().rstrip(";")
    return statements
