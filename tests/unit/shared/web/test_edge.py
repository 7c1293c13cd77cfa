"""The middleware limits bodies, refuses NUL in addresses and answers for unexpected errors."""

import httpx
import pytest

from shared.web.problems import TYPE_PREFIX
from tests.unit.shared.web.responses import problem

NOTES = "/api/sample/v1/notes"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


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


@pytest.mark.parametrize("address", ["/page?q=%00", "/pa%00ge"])
async def test_nul_in_an_address_is_400(client: httpx.AsyncClient, address: str) -> None:
    assert problem(await client.get(address))["type"] == TYPE_PREFIX + "nul"


@pytest.mark.parametrize("address", ["/page", "/as/clerk", NOTES, "/metrics", "/healthz"])
async def test_a_newline_behind_an_address_is_part_of_it(client: httpx.AsyncClient, address: str) -> None:
    assert (await client.get(address)).status_code != 404
    assert (await client.get(address + "%0a")).status_code == 404


async def test_an_unexpected_error_shows_a_reference_and_nothing_else(
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


async def test_an_unexpected_error_has_a_page_with_all_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/boom", headers=BROWSER)
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_metrics_name_the_route_and_not_the_path(client: httpx.AsyncClient) -> None:
    await client.get("/as/clerk")
    text = (await client.get("/metrics")).text
    assert 'route="/as/{role}"' in text
    assert "/as/clerk" not in text
