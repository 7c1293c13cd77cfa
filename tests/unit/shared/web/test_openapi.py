"""The OpenAPI document has the bodies and errors that FastAPI cannot see."""

import json

import httpx

NOTES = "/api/sample/v1/notes"


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
