"""The output of `make run`: addresses to open, and one line of counts while it runs."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.programs import Plan

STATE = "state.json"
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an address; status 0 if there was none."""

    status: int
    body: str


def get(url: str) -> Answer:
    """GET; every status is an answer, and no connection is status 0."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - our own address
            return Answer(answer.status, answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(errors="replace"))
    except OSError as error:
        return Answer(0, str(error))


def sample_state(folder: Path) -> dict[str, Any]:
    """The state of the sample city: counts `asked`, `answered`, `rated`, and `show`, a case to look at."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return {}
    return state


def where_to_look(plan: Plan) -> str:
    """The addresses, a case to track and who can sign in."""
    at, state = plan.address, sample_state(plan.sample_folder)
    shown = state.get("show")
    track = f"number {shown['number']}  secret {shown['secret']}" if shown else "number and secret of a case"
    people = "\n".join(
        f"    {person.subject:22} {person.name}  {person.role}{f' of {person.unit}' if person.unit else ''}"
        for person in plan.people
    )
    lines = (
        ("", "what the government publishes"),
        ("/ask", "ask, as a citizen"),
        ("/track", track),
        ("/desk", "a department's desk (sign in)"),
        ("/dispatch", "what the rules could not place (sign in)"),
        ("/oversight", "everything, live (sign in)"),
        ("/log/checkpoint", "the signed log"),
    )
    places = "\n".join(f"  {at + path:38} {what}" for path, what in lines)
    files = f"  In {plan.data_dir}: mail/, logs/, log/ (the signed log), environment (for commands)"
    return f"\n{places}\n\n  Sign in with one of these names, without a password:\n{people}\n\n{files}\n"


def counts(plan: Plan, restarts: int) -> str:
    """The counts of the sample city and the size of the log, in one line."""
    state = sample_state(plan.sample_folder)
    checkpoint = get(f"{plan.address}/log/checkpoint")
    size = checkpoint.body.split("\n")[1] if checkpoint.status == 200 else "?"
    parts = [f"{state.get(name, 0)} {name}" for name in ("asked", "answered", "rated")]
    parts.append(f"{size} log entries")
    if restarts:
        parts.append(f"{restarts} restarts")
    return " · ".join(parts)
