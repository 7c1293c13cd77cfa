"""Signing in at a real provider process: discovery, code, PKCE, roles, and what may go wrong on the way."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import APIRouter, Depends
from pydantic import SecretStr

from deploy.local import oidc
from deploy.local.ports import free_port
from shared.web import signin
from shared.web.app import create_app
from shared.web.callers import require
from shared.web.session import Person
from shared.web.settings import WebSettings

HOME = "http://127.0.0.1:8080"
BROWSER = {"Accept": "text/html"}
PEOPLE = oidc.sample_people(("water-affairs", "urban-management"))


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    port = free_port()
    arguments, environment = oidc.command(port, PEOPLE)
    address = oidc.client_environment(port)["OIDC_ISSUER"]
    with subprocess.Popen(
        arguments, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as provider:
        assert provider.stderr
        for line in provider.stderr:  # it says when it listens
            if b"Uvicorn running" in line:
                break
        else:
            pytest.fail(f"the provider ended with {provider.wait()}")
        yield address
        provider.terminate()
        provider.communicate(timeout=10)


@asynccontextmanager
async def browser(issuer: str | None) -> AsyncIterator[httpx.AsyncClient]:
    settings = WebSettings(
        secret_key=SecretStr("1" * 64),
        oidc_issuer=issuer,
        oidc_client_secret=SecretStr("any"),
        public_url=HOME,
    )
    router = APIRouter()

    @router.get("/desk")
    async def desk(person: Annotated[Person, Depends(require("officer"))]) -> dict[str, str | None]:
        return {"name": person.name, "unit": person.unit, "actor": person.actor}

    async def ready() -> dict[str, str]:
        return {}

    app = create_app(
        "inquiry", title="Inquiry", routers=[signin.router, router], settings=settings, ready=ready
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=HOME, headers=BROWSER
    ) as client:
        yield client


async def authorize(location: str, subject: str) -> str:
    """Chooses a person at the provider; returns the address that the provider redirects to."""
    async with httpx.AsyncClient() as outside:
        assert (await outside.get(location)).status_code == 200
        answer = await outside.post(location, data={"sub": subject})
    assert answer.status_code == 302
    return answer.headers["location"]


async def test_an_officer_opens_the_desk_and_comes_back_to_it_signed_in(issuer: str) -> None:
    async with browser(issuer) as client:
        refused = await client.get("/desk?case=7")
        assert refused.status_code == 303
        begun = await client.get(refused.headers["location"])
        assert begun.status_code == 302
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["redirect_uri"] == [f"{HOME}/login/callback"]
        assert {"code_challenge", "state", "nonce"} <= asked.keys()

        done = await client.get(await authorize(begun.headers["location"], "officer-water-affairs"))
        assert done.status_code == 303
        assert done.headers["location"] == "/desk?case=7"
        desk = await client.get(done.headers["location"])
        assert desk.json() == {
            "name": "李经办",
            "unit": "water-affairs",
            "actor": "person:officer-water-affairs",
        }
        assert "signing-in" not in client.cookies


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.subject)
async def test_every_sample_person_gets_their_role(issuer: str, person: oidc.SamplePerson) -> None:
    async with browser(issuer) as client:
        begun = await client.get("/login")
        await client.get(await authorize(begun.headers["location"], person.subject))
        desk = await client.get("/desk")
        assert desk.status_code == (200 if person.role == "officer" else 403)


async def test_next_to_another_host_ends_at_home(issuer: str) -> None:
    async with browser(issuer) as client:
        begun = await client.get("/login", params={"next": "//evil.example/desk"})
        done = await client.get(await authorize(begun.headers["location"], "clerk"))
        assert done.headers["location"] == "/"


async def test_a_callback_in_another_browser_is_refused(issuer: str) -> None:
    async with browser(issuer) as client, browser(issuer) as other:
        begun = await client.get("/login")
        callback = await authorize(begun.headers["location"], "clerk")
        assert (await other.get(callback)).status_code == 400
        await other.get("/login")  # has a flow of its own, with another state
        assert (await other.get(callback)).status_code == 400
        assert "session" not in other.cookies


async def test_a_code_serves_once(issuer: str) -> None:
    async with browser(issuer) as client:
        begun = await client.get("/login")
        flow = client.cookies["signing-in"]
        callback = await authorize(begun.headers["location"], "clerk")
        assert (await client.get(callback)).status_code == 303
        client.cookies.clear()
        client.cookies.set("signing-in", flow, domain="127.0.0.1", path="/login")
        again = await client.get(callback)
        assert again.status_code == 400
        assert "400 sign-in-failed" in again.text


async def test_a_refusal_at_the_provider_is_a_clear_page(issuer: str) -> None:
    async with browser(issuer) as client:
        begun = await client.get("/login")
        async with httpx.AsyncClient() as outside:
            denied = await outside.post(begun.headers["location"], data={"action": "deny"})
        answer = await client.get(denied.headers["location"])
        assert answer.status_code == 400
        assert "session" not in client.cookies


async def test_signing_out_takes_a_form_of_ours(issuer: str) -> None:
    async with browser(issuer) as client:
        begun = await client.get("/login")
        await client.get(await authorize(begun.headers["location"], "officer-water-affairs"))
        assert (await client.post("/logout", data={"csrf": "x"})).status_code == 403
        page = (await client.get("/nowhere")).text
        token = page.split('name="csrf" value="')[1].split('"')[0]
        assert (await client.post("/logout", data={"csrf": token})).status_code == 303
        assert (await client.get("/desk")).status_code == 303


async def test_without_provider_signing_in_says_so(issuer: str) -> None:
    async with browser(None) as client:
        assert "503 no-sign-in" in (await client.get("/login")).text
    async with browser(f"http://127.0.0.1:{free_port()}") as client:
        answer = await client.get("/login")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"
    async with browser(
        issuer.replace("127.0.0.1", "localhost")
    ) as client:  # it names itself by the Host it is asked by
        assert (await client.get("/login")).status_code == 302
