"""The pages of the documentation and what can be run of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.paths import REPO

PAGES = [
    REPO / "README.md",
    REPO / "README.zh.md",
    REPO / "CONTRIBUTING.md",
    *sorted((REPO / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, what stands behind the language, and its text without indentation."""

    page: Path
    language: str
    info: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for indent, language, info, text in _FENCE.findall(page.read_text("utf-8")):
        lines = [line.removeprefix(indent) for line in text.splitlines(keepends=True)]
        yield Block(page, language, info.strip(), "".join(lines))


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: lines of ```console blocks that begin with `$ `."""
    for block in blocks(page):
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    yield line.removeprefix("$ ")
