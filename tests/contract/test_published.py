"""What the check takes for published, in a git repository of its own."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from services import cli
from services.commands import contracts

TYPE = "civic.inquiry.received.v1"
Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Runs git in an empty repository that the command takes for the project's."""

    def run(*arguments: str) -> str:
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    # Inside a hook git names its own repository by these, and it would be that one which we change.
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    run("init", "--quiet", "--initial-branch=main")
    run("commit", "--quiet", "--allow-empty", "-m", "empty")
    monkeypatch.setattr(contracts, "_REPO", tmp_path)
    monkeypatch.delenv("CONTRACTS_BASE", raising=False)
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "contracts"


def write(folder: Path) -> int:
    return cli.main(["contracts", "write", "--folder", str(folder)])


def check(folder: Path) -> int:
    return cli.main(["contracts", "check", "--folder", str(folder)])


def publish_with_a_field_that_is_gone_today(folder: Path, git: Git) -> None:
    assert write(folder) == 0
    schema = folder / "schemas" / f"{TYPE}.json"
    content = json.loads(schema.read_text())
    content["$defs"]["InquiryReceived"]["properties"]["lane"] = {"type": "string"}
    schema.write_text(json.dumps(content))
    git("add", ".")
    git("commit", "--quiet", "-m", "with the field")
    assert write(folder) == 0
    git("commit", "--quiet", "-a", "-m", "without it")


def test_before_the_first_commit_of_the_folder_nothing_is_published(folder: Path, git: Git) -> None:
    assert write(folder) == 0
    assert check(folder) == 0


def test_without_a_remote_the_commit_before_this_one_is_published(
    folder: Path, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_with_a_field_that_is_gone_today(folder, git)
    assert check(folder) == 1
    assert capsys.readouterr().out == f"{TYPE}: data.lane was removed or renamed\n"
    git("commit", "--quiet", "--allow-empty", "-m", "later")
    assert check(folder) == 0


def test_a_branch_is_compared_with_where_it_left_main(
    folder: Path, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_with_a_field_that_is_gone_today(folder, git)
    git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    git("commit", "--quiet", "--allow-empty", "-m", "later")
    assert check(folder) == 1
    assert "data.lane was removed" in capsys.readouterr().out


def test_on_main_itself_the_commit_before_is_published(folder: Path, git: Git) -> None:
    publish_with_a_field_that_is_gone_today(folder, git)
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert check(folder) == 1


def test_an_example_stays_as_it_was_published(folder: Path, git: Git) -> None:
    assert write(folder) == 0
    example = folder / "golden" / f"{TYPE}.json"
    example.write_bytes(example.read_bytes().replace(b"riverside", b"hillside"))
    git("add", ".")
    git("commit", "--quiet", "-m", "published")
    git("commit", "--quiet", "--allow-empty", "-m", "later")
    assert write(folder) == 0
    assert b"hillside" in example.read_bytes()
