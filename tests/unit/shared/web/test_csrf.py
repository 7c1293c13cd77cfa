"""A form needs the token of its browser and person."""

import httpx

from tests.unit.shared.web.responses import token_of


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
