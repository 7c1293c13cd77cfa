"""Routes admit people by role and machines by the scope of their key."""

import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from shared.clock import machine_now
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT
from shared.web.session import IDLE_SECONDS
from shared.web.settings import WebSettings

BROWSER = {"Accept": "text/html"}


async def test_a_session_says_when_it_ends_and_a_machines_key_does_not(client: httpx.AsyncClient) -> None:
    before = machine_now()
    await client.get("/as/officer")
    ends = dt.datetime.fromisoformat((await client.get("/access-end")).json())
    assert abs((ends - before).total_seconds() - IDLE_SECONDS) < 5
    machine = await client.get("/access-end", headers={"Authorization": "Bearer other"})
    assert machine.json() is None


async def test_without_session_a_page_leads_to_sign_in_and_an_api_says_401(client: httpx.AsyncClient) -> None:
    page = await client.get("/staff?unit=water", headers=BROWSER)
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=%2Fstaff%3Funit%3Dwater"
    api = await client.get("/api/sample/v1/staff", headers=BROWSER)
    assert api.status_code == 401
    assert api.headers["www-authenticate"] == "Bearer"


async def test_another_role_is_403(client: httpx.AsyncClient) -> None:
    await client.get("/as/editor")
    response = await client.get("/staff")
    assert response.status_code == 403
    assert response.json()["roles"] == ["officer", "clerk"]


async def test_a_key_carries_its_scopes_and_no_more(client: httpx.AsyncClient, api_key: str) -> None:
    good = {"Authorization": f"Bearer {api_key}"}
    assert (await client.get("/api/sample/v1/machine", headers=good)).json() == "water-backend"
    assert (await client.get("/api/sample/v1/either", headers=good)).json() == "machine:water-backend"
    assert (await client.get("/api/sample/v1/staff", headers=good)).status_code == 401
    reader = await client.get("/api/sample/v1/machine", headers={"Authorization": "Bearer other"})
    assert reader.status_code == 403
    assert (await client.get("/api/sample/v1/machine")).status_code == 401


async def test_a_wrong_key_is_not_the_same_as_no_key(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/sample/v1/whoami")).json() == "anonymous"
    wrong = await client.get("/api/sample/v1/whoami", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401


async def test_a_person_or_a_machine_may_do_what_both_may(client: httpx.AsyncClient) -> None:
    await client.get("/as/officer")
    assert (await client.get("/api/sample/v1/either")).json() == "person:u-1"
    await client.get("/as/editor")
    assert (await client.get("/api/sample/v1/either")).status_code == 403


@pytest.fixture
def ends(
    make_app: Callable[..., FastAPI], settings: WebSettings, tmp_path: Path
) -> Callable[[float], FastAPI]:
    """Applications whose key `later` ends after some seconds, and whose key `empty` has no scope."""

    def make(seconds: float) -> FastAPI:
        later, empty = (hashlib.sha256(key).hexdigest() for key in (b"later", b"empty"))
        moment = (machine_now() + dt.timedelta(seconds=seconds)).isoformat()
        keys = tmp_path / "ends.yaml"
        keys.write_text(
            f"- {{name: later, sha256: {later}, scopes: [notes.write], not_after: '{moment}'}}\n"
            f"- {{name: empty, sha256: {empty}, scopes: []}}\n"
        )
        return make_app(settings.model_copy(update={"api_keys_file": keys}))

    return make


async def test_a_key_that_has_ended_is_refused_and_a_stream_ends_with_its_key(
    ends: Callable[[float], FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient]
) -> None:
    later = {"Authorization": "Bearer later"}
    async with client_of(ends(60)) as client:
        assert (await client.get("/api/sample/v1/machine", headers=later)).json() == "later"
        until = dt.datetime.fromisoformat((await client.get("/access-end", headers=later)).json())
        assert 0 < (until - machine_now()).total_seconds() < 60
    async with client_of(ends(-0.001)) as client:
        for path in ("machine", "either", "whoami"):
            refused = await client.get(f"/api/sample/v1/{path}", headers=later)
            assert refused.status_code == 401
            assert refused.json()["type"] == "urn:civicloom:problem:ended-key"
            assert "invalid_token" in refused.headers["www-authenticate"]


async def test_a_key_without_a_scope_can_do_nothing_that_asks_who_calls(
    ends: Callable[[float], FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient]
) -> None:
    async with client_of(ends(60)) as client:
        for path in ("machine", "either", "whoami"):
            refused = await client.get(f"/api/sample/v1/{path}", headers={"Authorization": "Bearer empty"})
            assert refused.status_code == 403
            assert refused.json()["type"] == "urn:civicloom:problem:missing-scope"


async def test_a_thousand_wrong_keys_do_not_refuse_the_right_one_of_the_same_address(
    client: httpx.AsyncClient, api_key: str
) -> None:
    burst = WRONG_SECRETS_PER_CLIENT[0]
    wrong = {"Authorization": "Bearer wrong"}
    answers = [await client.get("/api/sample/v1/whoami", headers=wrong) for _ in range(1000)]
    assert [answer.status_code for answer in answers] == [401] * burst + [429] * (1000 - burst)
    assert int(answers[-1].headers["retry-after"]) > 0
    good = await client.get("/api/sample/v1/whoami", headers={"Authorization": f"Bearer {api_key}"})
    assert good.json() == "machine:water-backend"
    assert (await client.get("/api/sample/v1/whoami")).json() == "anonymous"


async def test_a_64_is_one_client_and_its_neighbour_is_another(client: httpx.AsyncClient) -> None:
    async def guess(forwarded: str) -> int:
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": forwarded}
        return (await client.get("/api/sample/v1/whoami", headers=headers)).status_code

    burst = WRONG_SECRETS_PER_CLIENT[0]
    assert {await guess(f"[2001:db8:0:1::{number}]:4711") for number in range(burst)} == {401}
    assert await guess("2001:db8:0:1:ffff::1%eth0") == 429
    assert await guess("2001:db8:0:2::1") == 401
    assert {await guess(f"junk {number}") for number in range(burst)} == {401}
    assert await guess("other junk,") == 429, "junk makes no new client"
