"""Who may do what: sessions, forms, roles, keys and scopes."""

import datetime as dt
import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from shared.clock import machine_now
from shared.web.redirects import safe_next
from shared.web.sealed import Sealer
from shared.web.session import IDLE_SECONDS
from shared.web.settings import WebSettings

BROWSER = {"Accept": "text/html"}


def token_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found
    return found[1]


async def test_a_session_is_read_and_its_cookie_is_guarded(client: httpx.AsyncClient) -> None:
    response = await client.get("/as/officer")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "officer" not in cookie
    assert (await client.get("/staff")).json() == "李经办"


async def test_a_session_says_when_it_ends_and_a_machines_key_does_not(client: httpx.AsyncClient) -> None:
    before = machine_now()
    await client.get("/as/officer")
    ends = dt.datetime.fromisoformat((await client.get("/access-end")).json())
    assert abs((ends - before).total_seconds() - IDLE_SECONDS) < 5
    machine = await client.get("/access-end", headers={"Authorization": "Bearer other"})
    assert machine.json() is None


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


def test_what_is_sealed_ends_and_serves_one_purpose() -> None:
    sealer = Sealer(b"k" * 32, "session")
    assert sealer.open(sealer.seal({"a": 1}, 60)) == {"a": 1}
    assert sealer.open(sealer.seal({"a": 1}, 0)) is None
    assert Sealer(b"k" * 32, "sign-in").open(sealer.seal({"a": 1}, 60)) is None
    for nonsense in ("", "x", "é", "A" * 5000, "=" * 40):
        assert sealer.open(nonsense) is None
    with pytest.raises(ValueError, match="cookie"):
        sealer.seal({"a": "x" * 4000}, 60)


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


async def test_a_form_without_its_token_is_refused(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form")).text)
    good = {"csrf": token, "title": "灯", "text": "不亮"}
    assert (await client.post("/form", data=good)).status_code == 200
    for bad in (
        good | {"csrf": ""},
        good | {"csrf": token[:-1] + "x"},
        good | {"csrf": "é"},
    ):
        assert (await client.post("/form", data=bad)).status_code == 403
    client.cookies.clear()
    assert (await client.post("/form", data=good)).status_code == 403


async def test_a_token_of_before_the_sign_in_is_refused_after_it(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form")).text)
    await client.get("/as/officer")
    assert (await client.post("/form", data={"csrf": token, "title": "a", "text": "b"})).status_code == 403


async def test_a_form_that_fails_shows_what_was_typed(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form?lang=en")).text)
    typed = {"csrf": token, "title": "", "text": '<b>"text"</b>\r\nline'}
    response = await client.post("/form", data=typed)
    assert response.status_code == 422
    assert "Give it a title" in response.text
    assert "&lt;b&gt;&#34;text&#34;&lt;/b&gt;\nline</textarea>" in response.text


async def test_a_form_is_read_with_lists_and_one_kind_of_line_end(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form")).text)
    data = {"csrf": token, "title": "a", "text": "x\r\ny", "kinds": ["p", "q"]}
    assert (await client.post("/form", data=data)).json() == {
        "title": "a",
        "text": "x\ny",
        "kinds": ["p", "q"],
    }
    assert (await client.post("/form", files={k: (None, str(v)) for k, v in data.items()})).status_code == 200


async def test_bad_forms_are_clear_errors(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form?lang=en")).text)
    nul = await client.post("/form", data={"csrf": token, "title": "a\0b", "text": "c"})
    assert nul.status_code == 422
    assert "\0" not in nul.text
    long = await client.post("/form", data={"csrf": token, "title": "x" * 21, "text": "c"})
    assert "Must be 20 characters or fewer" in long.text
    assert (await client.post("/form", json={})).status_code == 415
    assert (
        await client.post("/form", content=b"x", headers={"Content-Type": "multipart/form-data"})
    ).status_code == 400
    surrogate = f"csrf={token}&title=%ED%A0%80&text=%FF"
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/form", content=surrogate, headers=urlencoded)).status_code in (200, 400, 422)
    raw = (
        b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n' + token.encode() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xff\xed\xa0\x80\r\n--b--\r\n'
    )
    broken = await client.post(
        "/form", content=raw, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert broken.status_code in (400, 422)


@pytest.mark.parametrize(
    "wish",
    [
        *(
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil",
            "javascript:alert(1)",
            "",
            None,
        ),
        *("/\t/evil.example", "/\n", "evil", " /x", "/" + "x" * 3000, "http:///x"),
    ],
)
def test_next_never_leads_elsewhere(wish: str | None) -> None:
    assert safe_next(wish) == "/"


@pytest.mark.parametrize("wish", ["/", "/desk", "/desk?unit=water&x=%2F", "/a//b", "/desk#case"])
def test_next_leads_on_to_our_own_pages(wish: str) -> None:
    assert safe_next(wish) == wish


async def test_the_navigation_shows_the_desks_of_the_role(client: httpx.AsyncClient) -> None:
    assert 'href="/desk"' not in (await client.get("/form")).text
    await client.get("/as/officer")
    page = (await client.get("/form")).text
    assert 'href="/desk"' in page
    assert 'href="/oversight"' not in page
    assert "李经办" in page


def test_a_weak_secret_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="32 bytes"):
        WebSettings(secret_key=SecretStr("00"))
