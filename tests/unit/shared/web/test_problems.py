"""Every bad input at the edge gets a clear problem document and never its own words back."""

import json
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from shared.web.problems import TYPE_PREFIX
from shared.web.settings import WebSettings

NOTES = "/api/sample/v1/notes"
JSON = {"Content-Type": "application/json"}
SCRIPT = "<script>alert(1)</script>"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def problem(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["status"] == response.status_code
    return document


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
@settings_of(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_whatever_is_an_error_of_ours(client: httpx.AsyncClient, body: bytes) -> None:
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


async def test_a_megabyte_is_413(client: httpx.AsyncClient) -> None:
    response = await client.post(NOTES, json={"title": "x", "text": "x" * 1_000_000})
    assert response.status_code == 413
    assert problem(response)["type"] == TYPE_PREFIX + "too-large"


async def test_a_chunked_megabyte_is_413_without_being_read_whole(client: httpx.AsyncClient) -> None:
    sent = 0

    async def chunks():  # type: ignore[no-untyped-def]
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b"x" * 1024

    response = await client.post("/api/sample/v1/raw", content=chunks())
    assert "content-length" not in response.request.headers
    assert response.status_code == 413
    assert problem(response)["type"] == TYPE_PREFIX + "too-large"
    assert sent < 300 * 1024


async def test_exactly_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/sample/v1/raw", content=b"x" * 256 * 1024)
    assert response.text == str(256 * 1024)


async def test_a_wrong_query_parameter_is_422_by_pointer(client: httpx.AsyncClient) -> None:
    response = await client.get(NOTES, params={"limit": "swordfish"})
    assert response.status_code == 422
    assert problem(response)["errors"][0]["pointer"] == "/limit"  # type: ignore[index]
    assert "swordfish" not in response.text


@pytest.mark.parametrize("address", ["/page?q=%00", "/pa%00ge"])
async def test_nul_in_an_address_is_400(client: httpx.AsyncClient, address: str) -> None:
    assert problem(await client.get(address))["type"] == TYPE_PREFIX + "nul"


async def test_an_unknown_path_and_method_are_problems(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["type"] == TYPE_PREFIX + "not-found"
    refused = await client.delete(NOTES)
    assert problem(refused)["type"] == TYPE_PREFIX + "method-not-allowed"
    assert "GET" in refused.headers["allow"] or "POST" in refused.headers["allow"]


async def test_an_unexpected_error_tells_a_reference_and_nothing_else(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    response = await client.get("/api/sample/v1/boom")
    document = problem(response)
    assert document["type"] == TYPE_PREFIX + "internal"
    assert "swordfish" not in response.text
    captured = capsys.readouterr()
    assert str(document["reference"]) in captured.out + captured.err


async def test_an_outage_of_the_database_is_a_state_that_passes(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/sample/v1/outage")
    assert problem(response)["type"] == TYPE_PREFIX + "unavailable"
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


async def test_a_browser_gets_a_page_in_its_language_with_the_same_code(client: httpx.AsyncClient) -> None:
    for language, title in (("zh-CN,zh;q=0.9", "没有这件诉求"), ("en-GB,en;q=0.9", "We know no such case")):
        response = await client.get("/gone", headers=BROWSER | {"Accept-Language": language})
        assert response.status_code == 404
        assert response.headers["content-type"].startswith("text/html")
        assert title in response.text
        assert "404 no-such-case" in response.text


async def test_an_unexpected_error_has_a_page_with_all_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/boom", headers=BROWSER)
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_an_api_answers_in_json_even_to_a_browser(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/sample/v1/boom", headers=BROWSER)
    assert problem(response)["status"] == 500


async def test_readiness_names_what_is_missing(
    make_app: Callable[..., FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient], settings: WebSettings
) -> None:
    async def not_ready() -> dict[str, str]:
        return {"relay": "no broker"}

    async with client_of(make_app(settings, not_ready)) as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert problem(response)["not_ready"] == {"relay": "no broker"}
        assert (await client.get("/healthz")).status_code == 200


async def test_what_is_degraded_is_named_and_leaves_the_service_ready(
    make_app: Callable[..., FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient], settings: WebSettings
) -> None:
    async def no_mail() -> dict[str, str]:
        return {"email": "SMTP_URL is not set"}

    async with client_of(make_app(settings, degraded=no_mail)) as client:
        response = await client.get("/readyz")
        assert response.status_code == 200
        assert response.json() == {"status": "ready", "degraded": ["sample email: SMTP_URL is not set"]}
        # As the one address asks: what the services before have said comes back with what this one says.
        before = {"X-Degraded-Audit": "audit disk: nearly full"}
        response = await client.get("/readyz", headers=before)
        assert response.headers["x-degraded"] == "audit disk: nearly full; sample email: SMTP_URL is not set"
        assert len(response.json()["degraded"]) == 2


async def test_readiness_says_nothing_of_degraded_parts_where_there_are_none(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/readyz")
    assert response.json() == {"status": "ready"}
    assert "x-degraded" not in response.headers


async def test_the_openapi_document_knows_bodies_and_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/sample/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    post = document["paths"][NOTES]["post"]
    assert "application/problem+json" in post["responses"]["default"]["content"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["title"] == "Note"
    reference = post["requestBody"]["content"]["application/json"]["schema"]["properties"]["places"]["items"][
        "$ref"
    ]
    assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    assert "$defs" not in json.dumps(document)


async def test_metrics_name_the_route_and_not_the_path(client: httpx.AsyncClient) -> None:
    await client.get("/as/clerk")
    text = (await client.get("/metrics")).text
    assert 'route="/as/{role}"' in text
    assert "/as/clerk" not in text
