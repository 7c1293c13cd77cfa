"""The pages name files that exist: links are Sphinx's to check, paths in running text are ours."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES
from tests.paths import REPO

READMES = [
    path
    for folder in ("services", "shared", "policies", "imports")
    for path in (REPO / folder).rglob("README.md")
]
MADE = {"deploy/.env", "docs/_build"}
"""Not in the repository: a command makes them."""
_PATH = re.compile(
    r"`((?:services|shared|harness|deploy|docs|tests|contracts|policies|checks|examples|imports)/[^`\s]*)`"
)


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: str(page.relative_to(REPO)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    missing = [
        path
        for path in _PATH.findall(page.read_text("utf-8"))
        if "<" not in path and path not in MADE and not _exists(path.rstrip("/"), page.parent)
    ]
    assert missing == []


def _exists(path: str, beside: Path) -> bool:
    path = path.partition(":")[0]  # `file.py: name`
    path = re.sub(r"\{(\w+),\w+\}", r"\1", path)  # `messages/{zh,en}.yaml`
    return any(any(folder.glob(path)) for folder in (REPO, beside))
