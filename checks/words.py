"""No word that this project has decided to do without, in code, comments, SQL or documents.

`python -m checks.words`. Identifiers that must keep such a word, since a table, a metric or a published
contract has it, are in pyproject.toml, `[tool.civicloom.words]`. Texts for citizens and staff
(`messages/*.yaml`) are another language and not looked at.
"""

import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

from checks.files import REPO, tracked

# A word in any identifier counts too (`_told`, `set_aside`), so letters alone bound it.
INSTEAD = {
    r"told": "say what happens: reported, notified, given, known",
    r"whoever": "name who it is: a caller, a client, the operator",
    r"anew": "again, or leave it out",
    r"aside": "paused (of a topic), else say where it is put",
    r"go(?:es)? before": "precede(s), has priority over",
    r"of late": "recently",
    r"by and by": "gradually",
    r"in one go": "at once, in one statement, in one pass",
    r"for ever": "forever",
    r"stand(?:s|ing)? in for": "replaces, is a substitute for",
    r"h(?:ang|angs|anging|ung) on": "depends on, is bound to",
    r"nobody\b[^.;]{0,60}\bany ?more": "no longer, by anyone",
    r"field-notes|reference on events": "state the fact itself: a reader has no such document",
}
_WORD = re.compile("|".join(f"(?<![A-Za-z])(?:{word})(?![A-Za-z])" for word in INSTEAD), re.IGNORECASE)
_FILES = (
    "*.py",
    "*.md",
    "*.sql",
    "*.toml",
    "*.yaml",
    "*.yml",
    "Makefile",
    "Dockerfile",
    "Caddyfile",
    ".ci/run",
    ".env.example",
)
_NOT_OURS = ("contracts/", "policies/", "imports/")
_ABOUT_WORDS = frozenset({"checks/words.py", "tests/unit/checks/test_words.py"})
_COMMENT = re.compile(r"(?:^|\s)#.*")


def findings(root: Path, allowed: Collection[str]) -> Iterator[str]:
    """A line per word found. `allowed` are whole identifiers in which a word may stay."""
    spared = _pattern_of(allowed)
    for file in tracked(root, *_FILES):
        name = file.as_posix()
        if name.startswith(_NOT_OURS) or name in _ABOUT_WORDS or "messages" in file.parts:
            continue
        lines = (root / file).read_text("utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            text = _comment(line) if file.suffix in (".yaml", ".yml") else line
            for found in _WORD.finditer(spared.sub("", text) if spared else text):
                yield f"{name}:{number}: `{found[0]}`: {_instead_of(found[0])}"


def _pattern_of(identifiers: Collection[str]) -> re.Pattern[str] | None:
    if not identifiers:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, identifiers))})(?!\w)")


def _comment(line: str) -> str:
    """The comment of a line of YAML; a `#` inside a word begins none."""
    found = _COMMENT.search(line)
    return found[0] if found else ""


def _instead_of(found: str) -> str:
    return next(advice for word, advice in INSTEAD.items() if re.fullmatch(word, found, re.IGNORECASE))


def main() -> int:
    settings = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    found = list(findings(REPO, settings["tool"]["civicloom"]["words"]["allowed"]))
    print("\n".join(found) if found else "no word is found that should not be there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
