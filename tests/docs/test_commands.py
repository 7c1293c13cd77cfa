"""Every command that the documentation shows works as it is written, but for those that need Docker."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pair import temporary_folder
from deploy.local.ports import free_port
from tests.city import City, city
from tests.docs.pages import PAGES, commands
from tests.paths import REPO

SHOWN = [
    pytest.param(command, id=f"{page.relative_to(REPO)}: {command}")
    for page in PAGES
    if page.name != "add-an-event-type.md"  # test_howto.py follows it
    for command in dict.fromkeys(commands(page))
    if not re.search(r"\bdocker\b|\bmake (up|down)\b", command)  # tests/containers runs Compose
]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (REPO / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[City, Path]]:
    with temporary_folder() as folder, city(folder / "data", free_port(), folder / "said.txt") as started:
        started.wait_until_ready()
        yield started, folder / "data"


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 15


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_of_the_documentation_works(command: str, running: tuple[City, Path]) -> None:
    if command.startswith("make "):
        # CI calls these by themselves; here they only have to be there.
        assert command.split()[1] in TARGETS
        return
    started, data = running
    for written, here in ((".data/", f"{data}/"), ("http://127.0.0.1:8080", started.address)):
        command = command.replace(written, here)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
