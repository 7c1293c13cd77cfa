"""Sessions are in a cookie that nobody can change."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from shared.web.settings import WebSettings


async def test_a_session_is_read_and_its_cookie_is_guarded(client: httpx.AsyncClient) -> None:
    response = await client.get("/as/officer")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "officer" not in cookie
    assert (await client.get("/staff")).json() == "李经办"


async def test_over_https_cookies_are_bound_to_host_and_encryption(
    make_app: Callable[..., FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient], settings: WebSettings
) -> None:
    secure = settings.model_copy(update={"public_url": "https://city.example"})
    async with client_of(make_app(secure)) as client:
        session = (await client.get("/as/officer")).headers["set-cookie"]
        form = await client.get("/form")
    assert session.startswith("__Host-session=")
    assert "Secure" in session
    assert "Secure" in form.headers["set-cookie"]
    assert "max-age" in form.headers["strict-transport-security"]


@pytest.mark.parametrize("place", [0, 10, 40, -2])
async def test_a_session_changed_in_one_character_is_none(client: httpx.AsyncClient, place: int) -> None:
    await client.get("/as/officer")
    cookie = client.cookies["session"]
    changed = list(cookie)
    changed[place] = "A" if changed[place] != "A" else "B"
    client.cookies.clear()
    client.cookies.set("session", "".join(changed))
    assert (await client.get("/staff")).status_code == 401


async def test_a_session_of_another_installation_is_none(
    client: httpx.AsyncClient,
    make_app: Callable[..., FastAPI],
    client_of: Callable[[FastAPI], httpx.AsyncClient],
    settings: WebSettings,
) -> None:
    await client.get("/as/officer")
    other = settings.model_copy(update={"secret_key": SecretStr("f" * 64)})
    async with client_of(make_app(other)) as stranger:
        stranger.cookies.set("session", client.cookies["session"])
        assert (await stranger.get("/staff")).status_code == 401
