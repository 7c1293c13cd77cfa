"""Errors are problem documents for programs and pages for browsers."""

import httpx

from shared.web.problems import TYPE_PREFIX
from tests.unit.shared.web.responses import problem

NOTES = "/api/sample/v1/notes"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


async def test_a_wrong_query_parameter_is_422_by_pointer(client: httpx.AsyncClient) -> None:
    response = await client.get(NOTES, params={"limit": "swordfish"})
    assert response.status_code == 422
    assert problem(response)["errors"][0]["pointer"] == "/limit"  # type: ignore[index]
    assert "swordfish" not in response.text


async def test_an_unknown_path_and_method_are_problems(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["type"] == TYPE_PREFIX + "not-found"
    refused = await client.delete(NOTES)
    assert problem(refused)["type"] == TYPE_PREFIX + "method-not-allowed"
    assert "GET" in refused.headers["allow"] or "POST" in refused.headers["allow"]


async def test_a_browser_gets_a_page_in_its_language_with_the_same_code(client: httpx.AsyncClient) -> None:
    for language, title in (("zh-CN,zh;q=0.9", "没有这件诉求"), ("en-GB,en;q=0.9", "We know no such case")):
        response = await client.get("/gone", headers=BROWSER | {"Accept-Language": language})
        assert response.status_code == 404
        assert response.headers["content-type"].startswith("text/html")
        assert title in response.text
        assert "404 no-such-case" in response.text


async def test_an_api_answers_in_json_even_to_a_browser(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/sample/v1/boom", headers=BROWSER)
    assert problem(response)["status"] == 500
