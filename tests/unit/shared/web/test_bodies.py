"""Bodies and forms become models, or errors that name the member and never repeat the input."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from shared.web.csrf import CSRF_FIELD
from shared.web.problems import TYPE_PREFIX
from tests.unit.shared.web.responses import Tags, problem, token_of

NOTES = "/api/sample/v1/notes"
JSON = {"Content-Type": "application/json"}
SCRIPT = "<script>alert(1)</script>"


async def test_a_good_body_is_read(client: httpx.AsyncClient) -> None:
    response = await client.post(
        NOTES, json={"title": "路灯不亮 🌃", "text": "\u202eمرحبا'; DROP TABLE x;--"}
    )
    assert response.status_code == 200
    assert response.json()["text"] == "\u202eمرحبا'; DROP TABLE x;--"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b'{"title": "\\ud800"}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "a\x00b"}',
        b"[" * 200_000,
        b'{"title": "x"} trailing',
    ],
    ids=[
        "empty",
        "cut",
        "words",
        "bytes",
        "half a surrogate",
        "raw surrogate",
        "raw NUL",
        "deep",
        "trailing",
    ],
)
async def test_what_is_not_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(NOTES, content=body, headers=JSON)
    assert response.status_code == 400
    assert problem(response)["type"] == TYPE_PREFIX + "not-json"


async def test_wrong_types_and_values_are_named_by_pointer_without_the_input(
    client: httpx.AsyncClient,
) -> None:
    body = {"title": "x" * 21, "kind": "swordfish", "places": [{"lat": "nowhere"}], "text": 7}
    response = await client.post(NOTES, json=body)
    assert response.status_code == 422
    document = problem(response)
    assert {error["pointer"] for error in document["errors"]} == {"/title", "/kind", "/places/0/lat", "/text"}  # type: ignore[attr-defined]
    for sent in ("swordfish", "nowhere", "xxxxx"):
        assert sent not in response.text


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("stars", True),
        ("stars", "5"),
        ("stars", 4.5),
        ("urgent", 1),
        ("urgent", "yes"),
        ("urgent", "off"),
        ("places/0/lat", True),
        ("places/0/lat", "31.2"),
    ],
)
async def test_a_value_of_another_type_is_not_read_as_what_it_resembles(
    client: httpx.AsyncClient, member: str, value: object
) -> None:
    body = {"places": [{"lat": value}]} if member.startswith("places") else {member: value}
    response = await client.post(NOTES, json={"title": "x"} | body)
    assert response.status_code == 422
    assert [error["pointer"] for error in problem(response)["errors"]] == [f"/{member}"]  # type: ignore[attr-defined]


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=25),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"title": st.text(max_size=25)}).map(lambda value: json.dumps(value).encode())
)
@settings_of(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_is_a_server_error(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(NOTES, content=body, headers=JSON)
    assert response.status_code in (200, 400, 422)
    if response.status_code != 200:
        assert problem(response)["title"]


async def test_nul_is_named_by_pointer(client: httpx.AsyncClient) -> None:
    response = await client.post(NOTES, content=b'{"title": "a\\u0000b"}', headers=JSON)
    assert response.status_code == 422
    assert problem(response)["errors"] == [{"pointer": "/title", "detail": "the character NUL is not text"}]


async def test_a_backslash_before_u0000_is_not_nul(client: httpx.AsyncClient) -> None:
    response = await client.post(NOTES, content=b'{"title": "a\\\\u0000b"}', headers=JSON)
    assert response.status_code == 200
    assert response.json()["title"] == "a\\u0000b"


async def test_an_unknown_member_is_named_only_when_its_name_is_plain(client: httpx.AsyncClient) -> None:
    response = await client.post(NOTES, json={"title": "x", "titel": 1, SCRIPT: 2})
    pointers = [error["pointer"] for error in problem(response)["errors"]]  # type: ignore[attr-defined]
    assert pointers == ["/titel", ""]
    assert "script" not in response.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
async def test_another_content_type_is_415(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post(NOTES, content=b"{}", headers={"Content-Type": kind})
    assert response.status_code == 415
    assert problem(response)["type"] == TYPE_PREFIX + "not-json-content"


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


async def test_a_form_that_fails_shows_every_choice_again(client: httpx.AsyncClient) -> None:
    form = await client.get("/form")
    token = next(tag["value"] for tag in Tags(form.text).of("input") if tag["type"] == "hidden")
    sent = {CSRF_FIELD: str(token), "text": "x", "kinds": ["light", SCRIPT]}
    failed = await client.post("/form", data=sent)
    shown = [tag for tag in Tags(failed.text).of("input") if tag["name"] == "kinds"]
    assert [tag["value"] for tag in shown] == ["light", SCRIPT]
    assert all("checked" in tag for tag in shown)
