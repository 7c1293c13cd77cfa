"""The how-to for an event type, followed by the letter in a copy of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks
from tests.paths import REPO

PAGE = REPO / "docs" / "howto" / "add-an-event-type.md"


def follow(copy: Path, block: Block) -> None:
    """Does what a block says: edits a file, or runs commands. Blocks that only show something do nothing."""
    if block.language == "console":
        for command in block.text.splitlines():
            run(copy, command.removeprefix("$ "))
        return
    match shlex.split(block.info):
        case ["append", file]:
            with (copy / file).open("a", encoding="utf-8") as opened:
                # As ruff would part two definitions.
                opened.write("\n\n" + block.text if file.endswith(".py") else block.text)
        case ["after", file, line]:
            insert(copy / file, line, f"{line}\n{block.text}")
        case ["before", file, line]:
            insert(copy / file, line, f"{block.text}{line}\n")


def insert(file: Path, line: str, text: str) -> None:
    content = file.read_text("utf-8")
    assert content.count(f"\n{line}\n") == 1, f"{file} has not exactly one line {line!r}"
    file.write_text(content.replace(f"{line}\n", text, 1), "utf-8")


def run(copy: Path, command: str) -> None:
    command = re.sub(r"(?<![\w/])\.venv/bin/(\w+)", _installed, command)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def _installed(named: re.Match[str]) -> str:
    """The command of our own environment, with the packages of the copy."""
    if named[1] == "python":
        return shlex.quote(sys.executable)
    if named[1] == "civicloom":
        return f"{shlex.quote(sys.executable)} -m services.cli"
    return shlex.quote(str(Path(sys.executable).with_name(named[1])))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that a commit of the present state would have."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPO,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = REPO / name, tmp_path / "clone" / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tmp_path / "clone"


def test_a_stranger_adds_an_event_type_by_the_page(copy: Path) -> None:
    for block in blocks(PAGE):
        follow(copy, block)
    assert (copy / "contracts" / "golden" / "civic.case.flagged.v1.json").is_file()


def test_the_words_cannot_be_forgotten(copy: Path) -> None:
    """The control: without the page's YAML the tests that it names fail."""
    with pytest.raises(AssertionError, match=r"civic\.case\.flagged"):
        for block in blocks(PAGE):
            if block.language != "yaml":
                follow(copy, block)
