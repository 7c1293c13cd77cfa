"""Which subjects of commits may stay, and which commits are looked at."""

import os
import subprocess
from pathlib import Path

import pytest

from checks.commit_messages import Commit, HistoryMissing, commits_after, findings, wrong_with


@pytest.mark.parametrize(
    "subject",
    [
        "Lock only a batch's own parked keys",
        "Bring the core's words to those of the trade",
        "Process a partition's batch in one transaction",
        "Embed the fonts",
        "README: say how to stop it",
        "A" + "d" * 71,
    ],
)
def test_an_imperative_of_at_most_72_characters_may_stay(subject: str) -> None:
    assert wrong_with(subject) == []


@pytest.mark.parametrize(
    ("subject", "what"),
    [
        ("Add " + "x" * 69, "73 characters, at most 72"),
        ("Add the relay.", "full stop"),
        ("add the relay", "no capital letter"),
        ("fix: the relay", "type prefix"),
        ("feat(core)!: the relay", "type prefix"),
        ("Added the relay", "`Added` is no imperative"),
        ("Adds the relay", "`Adds` is no imperative"),
        ("Adding the relay", "`Adding` is no imperative"),
        ("The relay locks its shards", "`The` is no imperative"),
        ("Events are numbered", "`Events` is no imperative"),
    ],
)
def test_what_is_wrong_with_a_subject_is_said(subject: str, what: str) -> None:
    (wrong,) = wrong_with(subject)
    assert what in wrong


def test_a_merge_may_have_any_subject_and_a_finding_names_the_commit() -> None:
    commits = [
        Commit("1" * 40, ["0" * 40], "Fixed."),
        Commit("2" * 40, ["0" * 40, "1" * 40], "Merge branch."),
    ]
    (found,) = findings(commits)
    assert found.startswith("111111111111: 'Fixed.': ")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the commits `First`, `Second` and `Third`."""
    git(tmp_path, "init", "--quiet")
    for subject in ("First", "Second", "Third"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", subject)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = {
        f"GIT_{role}_{what}": "t@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | who | apart,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_the_commits_after_the_one_that_is_named_are_looked_at(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~2")
    assert [commit.subject for commit in commits_after(repository, first)] == ["Second", "Third"]


def test_without_the_history_nothing_is_checked_and_the_reason_is_said(
    repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(HistoryMissing, match="is not in this repository"):
        commits_after(repository, "1" * 40)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(shallow))
    with pytest.raises(HistoryMissing, match="shallow"):
        commits_after(shallow, git(repository, "rev-parse", "HEAD~2"))


def test_outside_a_repository_nothing_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(HistoryMissing, match="not a git repository"):
        commits_after(tmp_path, "1" * 40)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HistoryMissing, match="not installed"):
        commits_after(tmp_path, "1" * 40)
