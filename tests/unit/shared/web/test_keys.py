"""Idempotency keys are required, long enough, and scoped to caller and route."""

import pytest
from starlette.requests import Request

from shared.errors import Conflict
from shared.unit_of_work.idempotency import KeyReused
from shared.web.keys import SHORTEST_OF_STRANGERS, clash, keyed, keyed_form, keyed_stranger
from shared.web.problems import Problem


def request(key: str | None) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    headers = [] if key is None else [(b"idempotency-key", key.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "path": "/api/x", "headers": headers, "query_string": b""}
    return Request(scope, receive)


async def test_a_key_is_scoped_to_caller_and_route() -> None:
    found = await keyed(request("a"), "person:u-1")
    assert (found.scope, found.key, found.body) == ("person:u-1 POST /api/x", "a", b"{}")
    form = keyed_form(request(None), "anonymous", "k", b"body")
    assert (form.scope, form.key, form.body) == ("anonymous POST /api/x", "k", b"body")


@pytest.mark.parametrize("key", [None, "", "x" * 256, "é", "a\tb"])
async def test_a_missing_or_malformed_key_is_400(key: str | None) -> None:
    with pytest.raises(Problem) as raised:
        await keyed(request(key), "person:u-1")
    assert (raised.value.status_code, raised.value.slug) == (400, "idempotency-key-needed")


async def test_an_anonymous_caller_needs_a_long_key() -> None:
    with pytest.raises(Problem):
        await keyed_stranger(request("x" * (SHORTEST_OF_STRANGERS - 1)), "anonymous")
    assert (await keyed_stranger(request("x" * SHORTEST_OF_STRANGERS), "anonymous")).key


def test_both_conflicts_of_keys_are_409() -> None:
    assert (clash(KeyReused("x")).status_code, clash(KeyReused("x")).slug) == (409, "key-reused")
    assert (clash(Conflict("x")).status_code, clash(Conflict("x")).slug) == (409, "conflict")
