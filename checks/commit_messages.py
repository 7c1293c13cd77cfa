"""Commit subjects: at most 72 characters, imperative, no full stop.

`python -m checks.commit_messages` looks at what came after the commit that pyproject.toml names in
`[tool.civicloom.commits]`. Without that part of the history (no git, a shallow clone) it says so and passes.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from checks.files import REPO

MAX_SUBJECT = 72

# An imperative begins the subject. English has no form of its own for it, so this is a list of what is none
# by its ending, and of verbs and words that end like that all the same.
_ENDINGS = ("s", "ed", "ing")
_IMPERATIVES = frozenset({
    "access", "address", "assess", "bias", "bless", "bring", "bypass", "compress", "cross", "discuss",
    "dismiss", "embed", "exceed", "express", "feed", "focus", "guess", "heed", "impress", "miss", "need",
    "pass", "ping",
    "press", "process", "progress", "reset", "ring", "seed", "shed", "speed", "spring", "stress", "string",
    "suppress", "surpass", "swing", "toss", "weed", "witness",
})  # fmt: skip
_NEVER_FIRST = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "it", "its", "we", "our", "i", "in", "on", "at", "of",
    "for", "from", "to", "with", "without", "and", "or", "but", "not", "no", "when", "where", "what", "who",
    "which", "how", "why", "if", "as", "new", "bug", "bugfix", "feature", "misc", "wip",
})  # fmt: skip


class Commit(NamedTuple):
    """`parents` are its parents' hashes: more than one for a merge."""

    hash: str
    parents: Sequence[str]
    subject: str


class HistoryMissing(Exception):
    """The commits cannot be listed; the message says why."""


def wrong_with(subject: str) -> list[str]:
    """What is wrong with a subject and what to do, in sentences; empty if it may stay."""
    wrong = []
    if len(subject) > MAX_SUBJECT:
        wrong.append(f"{len(subject)} characters, at most {MAX_SUBJECT}: move the rest to the body")
    first = re.split(r"[\s:,;/(]", subject.strip(), maxsplit=1)[0]
    if re.match(r"[a-z]+(\([^)]*\))?!?: ", subject):
        wrong.append("a type prefix: leave it out")
    elif not first[:1].isupper():
        wrong.append("it begins with no capital letter: begin with an imperative, as in `Add`")
    elif not _may_be_imperative(first.lower()):
        wrong.append(f"`{first}` is no imperative: say what the commit does, as in `Add` or `Fix`")
    if subject.rstrip().endswith("."):
        wrong.append("a full stop at the end: leave it out")
    return wrong


def _may_be_imperative(word: str) -> bool:
    return word in _IMPERATIVES or not (word in _NEVER_FIRST or word.endswith(_ENDINGS))


def commits_after(root: Path, after: str) -> list[Commit]:
    """The commits of HEAD that `after` does not have, oldest first. Raises HistoryMissing."""
    if _git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise HistoryMissing("the clone is shallow")
    try:
        listed = _git(root, "log", "--reverse", "--format=%H%x00%P%x00%s", f"{after}..HEAD")
    except HistoryMissing as error:
        raise HistoryMissing(f"commit {after[:12]} is not in this repository") from error
    rows = (line.split("\0") for line in listed.splitlines())
    return [Commit(name, parents.split(), subject) for name, parents, subject in rows]


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - arguments of our own
            ["git", *arguments],  # noqa: S607
            cwd=root,
            capture_output=True,
            check=True,
            text=True,
        )
    except OSError as error:
        raise HistoryMissing("git is not installed") from error
    except subprocess.CalledProcessError as error:
        raise HistoryMissing(f"git says: {error.stderr.strip()}") from error
    return done.stdout


def findings(commits: Sequence[Commit]) -> Iterator[str]:
    """A line per commit with a subject that may not stay. Merges may have any."""
    for commit in commits:
        if len(commit.parents) <= 1 and (wrong := wrong_with(commit.subject)):
            yield f"{commit.hash[:12]}: {commit.subject!r}: {'; '.join(wrong)}"


def main() -> int:
    settings = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    try:
        commits = commits_after(REPO, settings["tool"]["civicloom"]["commits"]["after"])
    except HistoryMissing as error:
        print(f"commit messages are not checked: {error}")
        return 0
    found = list(findings(commits))
    print("\n".join(found) if found else f"{len(commits)} commit messages are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
