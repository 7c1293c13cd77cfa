"""The citizens and editors of the sample city; they use nothing but its public address.

`python -m deploy.local.sample ADDRESS FOLDER`; FOLDER keeps their state, so that they continue after a stop.
"""

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.status import STATE
from shared.bounded_client import BoundedClient

_TEXTS = Path(__file__).with_name("sample_texts.yaml")
_BURST = 30
_PAUSE = 1.2
_FOLLOW_PAUSE = 0.5
_FOLLOWED = 300
"""How many cases the citizens follow; the oldest are dropped."""
_RETRY_SECONDS = 3.0
_INQUIRIES = "/api/inquiry/v1/inquiries"
_PUBLICATIONS = "/api/publisher/v1/publications"

Json = dict[str, Any]
Concern = list[str | None]
"""Service code, area, title, text and, optionally, place."""
_ANSWER: Json = {"most_bytes": 1 << 20, "seconds": 30.0, "timeout": 30.0}


class Memory:
    """The state of the sample city, in a file that is replaced after each step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / STATE
        fresh = {
            "city": secrets.token_hex(8),
            "asked": 0,
            "answered": 0,
            "rated": 0,
            "open": [],
            "published": 0,
        }
        self.of: Json = json.loads(self._file.read_text()) if self._file.exists() else fresh

    def keep(self) -> None:
        staging = self._file.with_suffix(".new")
        staging.write_text(json.dumps(self.of))
        staging.rename(self._file)

    def key(self, what: str) -> dict[str, str]:
        """The same header for the same step, so that an interrupted step is not done twice."""
        return {"Idempotency-Key": f"{self.of['city']}-{what}"}


class Citizens:
    """Citizens who send concerns, follow their cases and rate the answers."""

    def __init__(self, client: httpx.AsyncClient, memory: Memory, texts: list[Concern]) -> None:
        self._client, self._memory, self._texts = client, memory, texts

    async def ask(self) -> None:
        """Sends one concern; every third citizen leaves a mail address."""
        number = self._memory.of["asked"]
        service, area, title, text, *place = self._texts[number % len(self._texts)]
        concern: Json = {"service_code": service, "title": title, "text": text}
        concern |= {"area": area} if area else {}
        concern |= {"place": place[0]} if place else {}
        if number % 3 == 0:
            concern["contact"] = {"email": f"citizen-{number}@example.org"}
        answer = await self._client.post(_INQUIRIES, json=concern, headers=self._memory.key(f"ask-{number}"))
        taken = _json(answer)
        case = {"number": taken["number"], "secret": taken["secret"]}
        memory = self._memory.of
        memory["asked"] += 1
        if "show" in memory:
            memory["open"] = [*memory["open"], case][-_FOLLOWED:]
        else:
            memory["show"] = case  # for the person who tries the city: no citizen rates it
        self._memory.keep()
        if memory["asked"] > _BURST:
            await asyncio.sleep(_PAUSE)

    async def follow(self) -> None:
        """Looks at the oldest followed case, and rates it if it is answered."""
        await asyncio.sleep(_FOLLOW_PAUSE)
        memory = self._memory.of
        if not memory["open"]:
            return
        case = memory["open"][0]
        address = f"{_INQUIRIES}/{case['number']}"
        secret = {"X-Case-Secret": case["secret"]}
        state = _json(await self._client.get(address, headers=secret))["state"]
        if state == "replied":
            await self._rate(address, case, secret)
        memory["open"].remove(case)
        if state not in ("replied", "closed"):
            memory["open"].append(case)
        self._memory.keep()

    async def _rate(self, address: str, case: Json, secret: dict[str, str]) -> None:
        memory = self._memory.of
        memory["answered"] += 1
        opinion = memory["answered"] % 10
        if opinion in (3, 7):  # many people never rate
            return
        solved, rating = {0: ("no", 2), 5: ("partly", 3)}.get(opinion, ("yes", 4 + opinion % 2))
        body = {"contacted": True, "solved": solved, "rating": rating}
        key = self._memory.key(f"rate-{case['number']}")
        answer = await self._client.post(f"{address}/evaluation", json=body, headers=secret | key)
        if answer.status_code != 409:  # meanwhile closed
            _json(answer)
            memory["rated"] += 1


async def publish(address: str, memory: Memory, publications: list[Json]) -> None:
    """An editor drafts and a second person approves and publishes, each publication once per city."""
    while memory.of["published"] < len(publications):
        number = memory.of["published"]
        async with _signed_in(address, "editor") as editor, _signed_in(address, "approver") as approver:
            draft = await editor.post(
                _PUBLICATIONS, json=publications[number], headers=memory.key(f"draft-{number}")
            )
            made = _json(draft)
            for act in ("approve", "publish"):
                answer = await approver.post(
                    f"{_PUBLICATIONS}/{made['id']}/{act}",
                    json={"version": made["version"]},
                    headers=memory.key(f"{act}-{number}"),
                )
                _json(answer)
        memory.of["published"] += 1
        memory.keep()


@asynccontextmanager
async def _signed_in(address: str, subject: str) -> AsyncIterator[httpx.AsyncClient]:
    """Signs in as a browser does: to the provider with a name, and back."""
    async with BoundedClient(base_url=address, headers={"Accept": "text/html"}, **_ANSWER) as client:
        begun = await client.get("/login")
        async with BoundedClient(**_ANSWER) as outside:
            chosen = await outside.post(_onward(begun), data={"sub": subject})
        await client.get(_onward(chosen))
        yield client


def _onward(answer: httpx.Response) -> str:
    """The target of a redirect. Raises httpx.HTTPStatusError if the answer is not one."""
    if not answer.is_redirect:
        raise httpx.HTTPStatusError(
            f"{answer.url} is not a redirect", request=answer.request, response=answer
        )
    return answer.headers["location"]


def _json(answer: httpx.Response) -> Json:
    """The JSON of a successful answer. Raises httpx.HTTPStatusError with the text of any other."""
    if answer.is_error:
        raise httpx.HTTPStatusError(
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}",
            request=answer.request,
            response=answer,
        )
    content: Json = answer.json()
    return content


async def _insist(step: Callable[[], Awaitable[None]]) -> None:
    """Repeats the step until it succeeds: a service may be away for a while, or refuse."""
    while True:
        try:
            return await step()
        except httpx.HTTPError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(_RETRY_SECONDS)


async def _forever(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await _insist(step)


async def texts_for(client: httpx.AsyncClient, concerns: list[Concern]) -> list[Concern]:
    """The concerns whose service the city offers; in a city with other services, one for each of its own."""
    offered = _json(await client.get("/api/inquiry/v1/services"))
    services = {service["service_code"]: service for service in offered["services"]}
    known = [concern for concern in concerns if concern[0] in services]
    if known:
        return known
    areas = [area["code"] for area in offered["areas"]] or [None]
    return [
        [code, areas[number % len(areas)], service["name"], service.get("description") or service["name"]]
        for number, (code, service) in enumerate(services.items())
    ]


async def live(address: str, folder: Path) -> None:
    """Plays citizens and editors until cancelled."""
    written = yaml.safe_load(_TEXTS.read_text("utf-8"))
    memory = Memory(folder)
    async with BoundedClient(base_url=address, **_ANSWER) as client, asyncio.TaskGroup() as group:
        citizens = Citizens(client, memory, await texts_for(client, written["concerns"]))
        group.create_task(_forever(citizens.ask))
        group.create_task(_forever(citizens.follow))
        group.create_task(_insist(lambda: publish(address, memory, written["publications"])))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.sample", description="Plays citizens and editors."
    )
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    asyncio.run(live(arguments.address, arguments.folder))


if __name__ == "__main__":
    main()
