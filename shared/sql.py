"""SQL in named blocks: `-- name: insert_case`, a line of why, the statement."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The statements of `file` in `package` by their names.

    Raises ValueError if a name stands twice.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise ValueError(f"{package}/{file}: the query {name} stands twice")
        statements[name] = body.strip().rstrip(";")
    return statements
