"""The output of `make run`: addresses to open, and one line of counts while it runs."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.programs import Plan
from shared.bounded_client import BoundedClient
from shared.settings import SERVICES

STATE = "state.json"
_SECONDS = 3.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an address; status 0 if there was none."""

    status: int
    body: str


def get(url: str) -> Answer:
    """GET; every status is an answer, and no connection is status 0."""
    return asyncio.run(_get(url))


async def _get(url: str) -> Answer:
    try:
        async with BoundedClient(
            most_bytes=_MOST_BYTES, seconds=_SECONDS, timeout=_SECONDS, trust_env=False
        ) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return Answer(0, str(error) or type(error).__name__)
    return Answer(answer.status_code, answer.text)


def answers_inside(plan: Plan) -> list[Answer]:
    """What `/readyz` says at each service's own port; the one address names no parts."""
    return [get(f"http://127.0.0.1:{plan.ports[name]}/readyz") for name in SERVICES]


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
    track = (
        f"case number {shown['number']}, access code {shown['secret']}"
        if shown
        else "a report, by case number and access code"
    )
    people = "\n".join(
        f"    {person.subject:26} {person.name}  {person.role}{f' of {person.unit}' if person.unit else ''}"
        for person in plan.people
    )
    lines = (
        ("", "home page, with the latest policies and notices"),
        ("/ask", "ask or report, as a citizen"),
        ("/track", track),
        ("/desk", "cases of a department (sign in as an officer)"),
        ("/dispatch", "cases that no rule could assign (sign in as dispatcher)"),
        ("/oversight", "everything that happens, live (sign in as oversight)"),
        ("/log/checkpoint", "latest signed checkpoint of the public log"),
    )
    places = "\n".join(f"  {at + path:38} {what}" for path, what in lines)
    files = f"  In {plan.data_dir}: mail/, logs/, log/ (the signed log), environment (settings for commands)"
    return f"\n{places}\n\n  Sign in with one of these names; no password is needed:\n{people}\n\n{files}\n"


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
