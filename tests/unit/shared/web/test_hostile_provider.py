"""What a sign-in provider, or the holder of its name, may cost by what it answers."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from shared.web import signin
from shared.web.app import create_app
from shared.web.settings import WebSettings
from tests.hostile_server import (
    PACKED,
    WITHOUT_END,
    HostileServer,
    answer,
    bomb,
    hostile_server,
    little_memory,
)

HOME = "http://127.0.0.1:8080"
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@asynccontextmanager
async def browser(issuer: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = WebSettings(
        secret_key=SecretStr("1" * 64),
        oidc_issuer=issuer,
        oidc_client_secret=SecretStr("any"),
        public_url=HOME,
    )

    async def ready() -> dict[str, str]:
        return {}

    app = create_app("inquiry", title="Inquiry", routers=[signin.router], settings=settings, ready=ready)
    headers = {"Accept": "text/html"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=HOME, headers=headers
    ) as client:
        yield client


def of(content: dict[str, Any]) -> list[bytes]:
    return [answer(json.dumps(content).encode(), content_type="application/json")]


def metadata(server: HostileServer, **more: Any) -> list[bytes]:
    return of({
        "issuer": server.url,
        "authorization_endpoint": f"{server.url}/authorize",
        "token_endpoint": f"{server.url}/token",
        "userinfo_endpoint": f"{server.url}/userinfo",
        "jwks_uri": f"{server.url}/jwks",
        **more,
    })  # fmt: skip


async def finish(client: httpx.AsyncClient, server: HostileServer) -> httpx.Response:
    """Begins at us and comes back with a code; all that the provider still has to say is good."""
    begun = await client.get("/login")
    assert begun.status_code == 302, begun.text
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    now = int(time.time())
    claims = {
        **{"iss": server.url, "aud": "civicloom", "sub": "clerk", "iat": now, "exp": now + 60},
        "nonce": asked["nonce"][0],
    }
    id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
    good = {
        "/token": of({"access_token": "a", "token_type": "Bearer", "id_token": id_token}),
        "/jwks": of({"keys": [KEY.as_dict(private=False)]}),
        "/userinfo": of({"sub": "clerk", "roles": ["clerk"]}),
    }
    server.by_path = good | server.by_path
    return await client.get("/login/callback", params={"code": "c", "state": asked["state"][0]})


async def test_a_provider_that_answers_well_signs_in() -> None:
    async with hostile_server() as server, browser(server.url) as client:
        server.by_path = {"/openid-configuration": metadata(server)}
        assert (await finish(client, server)).status_code == 303
        assert all("accept-encoding: identity\r\n" in head.lower() for head in server.heads)
        assert len(server.heads) == 4


@pytest.mark.parametrize("encoding", PACKED)
async def test_packed_metadata_is_not_unpacked(encoding: str) -> None:
    async with hostile_server(answer(bomb(encoding), encoding)) as server, browser(server.url) as client:
        with little_memory():
            refused = await client.get("/login")
    assert refused.status_code == 503


@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo"])
async def test_no_other_packed_answer_is_unpacked(path: str) -> None:
    async with hostile_server() as server, browser(server.url) as client:
        server.by_path = {
            "/openid-configuration": metadata(server),
            path: [answer(bomb("gzip, gzip"), "gzip, gzip")],
        }
        with little_memory():
            refused = await finish(client, server)
    assert refused.status_code == 400
    assert f"GET {path} " in server.heads[-1] or f"POST {path} " in server.heads[-1]


@pytest.mark.parametrize("way", WITHOUT_END)
@pytest.mark.parametrize("path", ["/openid-configuration", "/token"])
async def test_no_answer_without_an_end_is_waited_for(
    path: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin, "_PROVIDER_SECONDS", 0.7)
    pieces, endless, pause = WITHOUT_END[way]
    async with hostile_server(endless=False, pause=pause) as server, browser(server.url) as client:
        server.by_path = {"/openid-configuration": metadata(server)} | {path: list(pieces)}
        began = time.monotonic()
        if path == "/token":
            begun = await client.get("/login")
            state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        server.endless = endless
        with little_memory():
            if path == "/token":
                refused = await client.get("/login/callback", params={"code": "c", "state": state})
            else:
                refused = await client.get("/login")
        assert refused.status_code == (400 if path == "/token" else 503)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "more",
    [
        {"event_hooks": {}, "most_bytes": 1 << 40, "timeout": None, "seconds": 1e9},
        {"transport": None, "mounts": {"all://": None}, "verify": False, "trust_env": False},
        {"client_id": "another", "client_secret": "x", "update_token": None, "token": {"access_token": "x"}},
        {"proxy": "http://127.0.0.1:1", "base_url": "http://127.0.0.1:1", "headers": {"Host": "x"}},
        {"code_challenge_method": None, "scope": "everything", "state": "x", "nonce": "y"},
    ],
)
async def test_metadata_sets_no_option_of_our_client(more: dict[str, Any]) -> None:
    async with hostile_server() as server, browser(server.url) as client:
        server.by_path = {
            "/openid-configuration": metadata(server, **more),
            "/token": [answer(bomb("gzip, gzip"), "gzip, gzip")],
        }
        with little_memory():
            assert (await finish(client, server)).status_code == 400
        del server.by_path["/token"]
        assert (await finish(client, server)).status_code == 303


JUNK = (b"[]", b"7", b'"x"', b"null", b"{", b"", b"[[1]]", b"\xff", b"[" * 100_000)


@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo"])
@pytest.mark.parametrize("body", [*JUNK, b"{}"])
async def test_junk_is_a_failed_sign_in(path: str, body: bytes) -> None:
    async with hostile_server() as server, browser(server.url) as client:
        server.by_path = {"/openid-configuration": metadata(server), path: [answer(body)]}
        assert (await finish(client, server)).status_code == 400


@pytest.mark.parametrize("body", JUNK)
async def test_metadata_that_is_no_object_is_answered_503(body: bytes) -> None:
    async with hostile_server(answer(body)) as server, browser(server.url) as client:
        assert (await client.get("/login")).status_code == 503
