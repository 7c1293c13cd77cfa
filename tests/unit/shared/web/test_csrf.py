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
        good | {"csrf": token[:-1] + ("0" if token[-1] != "0" else "1")},
        good | {"csrf": "é"},
        good | {"csrf": "0" * len(token)},
        good | {"csrf": token[:64]},
        good | {"csrf": token[64:]},
        good | {"csrf": token * 2},
    ):
        assert (await client.post("/form", data=bad)).status_code == 403
    client.cookies.clear()
    assert (await client.post("/form", data=good)).status_code == 403


async def test_a_token_of_before_the_sign_in_is_refused_after_it(client: httpx.AsyncClient) -> None:
    token = token_of((await client.get("/form")).text)
    await client.get("/as/officer")
    assert (await client.post("/form", data={"csrf": token, "title": "a", "text": "b"})).status_code == 403


def unmasked(token: str) -> str:
    mask, masked = bytes.fromhex(token[:64]), bytes.fromhex(token[64:])
    return bytes(one ^ other for one, other in zip(mask, masked, strict=True)).hex()


async def test_no_two_pages_show_the_same_token_and_each_is_taken(client: httpx.AsyncClient) -> None:
    """Beside text of a stranger's choosing, a token that stays shows in the length of compressed pages."""
    tokens = [token_of((await client.get("/form")).text) for _ in range(20)]
    for start in range(0, len(tokens[0]), 16):
        assert len({token[start : start + 16] for token in tokens}) == len(tokens)
    assert len({unmasked(token) for token in tokens}) == 1
    for token in tokens[:3]:
        sent = await client.post("/form", data={"csrf": token, "title": "灯", "text": "不亮"})
        assert sent.status_code == 200


async def test_a_page_of_before_the_masks_can_still_be_sent(client: httpx.AsyncClient) -> None:
    old = unmasked(token_of((await client.get("/form")).text))
    sent = {"csrf": old, "title": "灯", "text": "不亮"}
    assert (await client.post("/form", data=sent)).status_code == 200
    assert (await client.post("/form", data=sent | {"csrf": old[:-2] + "zz"})).status_code == 403
    await client.get("/as/officer")
    assert (await client.post("/form", data=sent)).status_code == 403
