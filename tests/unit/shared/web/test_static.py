"""Static files are found by the hash of their content."""

import httpx

from tests.unit.shared.web.responses import Tags


async def test_what_a_page_loads_is_there_and_kept_for_a_year(client: httpx.AsyncClient) -> None:
    tags = Tags((await client.get("/desk")).text)
    addresses = [tag["href"] for tag in tags.of("link")] + [tag["src"] for tag in tags.of("script")]
    assert len(addresses) >= 3
    for address in addresses:
        response = await client.get(str(address))
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert "no-store" in (await client.get("/desk")).headers["cache-control"]


async def test_a_file_of_another_version_is_answered_but_not_kept(client: httpx.AsyncClient) -> None:
    response = await client.get("/static/civicloom.0123456789ab.css")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert (await client.get("/static/..%2Fapp.py")).status_code == 404
    assert (await client.get("/static/nothing.css")).status_code == 404
