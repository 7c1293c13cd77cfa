"""The navigation shows the desks of a person's roles."""

import httpx


async def test_the_navigation_shows_the_desks_of_the_role(client: httpx.AsyncClient) -> None:
    assert 'href="/desk"' not in (await client.get("/form")).text
    await client.get("/as/officer")
    page = (await client.get("/form")).text
    assert 'href="/desk"' in page
    assert 'href="/oversight"' not in page
    assert "李经办" in page
