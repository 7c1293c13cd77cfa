"""deploy/docker-compose.yml as an operator runs it, under a name and on ports of its own."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.process import poll_until
from tests.containers import engine
from tests.paths import REPO

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not engine.answers(), reason="no Docker engine answers"),
]

COMPOSE = ["docker", "compose", "-f", str(REPO / "deploy" / "docker-compose.yml")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    settings = {
        "SECRET_KEY": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "PORT": port,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "KAFKA_PORT": free_port(),
        "PROMETHEUS_PORT": free_port(),
    }
    file = tmp_path_factory.mktemp("compose") / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    compose = [*COMPOSE, "-p", f"civicloom-{secrets.token_hex(3)}", "--env-file", str(file)]
    try:
        subprocess.run([*compose, "up", "--build", "--wait"], check=True)
        yield settings["PUBLIC_URL"]  # type: ignore[misc]
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout", "20"], check=True)


def test_an_inquiry_goes_through_to_a_department_and_into_the_log(address: str) -> None:
    with httpx.Client(base_url=address, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        taken = client.post(
            "/api/inquiry/v1/inquiries",
            json={"title": "路灯不亮", "text": "桂园路路灯一周不亮。", "service_code": "12345-center"},
            headers={"Idempotency-Key": "from-test-compose"},
        )
        assert taken.status_code == 201, taken.text
        case = taken.json()

        def known() -> bool:
            answer = client.get(
                f"/api/inquiry/v1/inquiries/{case['number']}", headers={"X-Case-Secret": case["secret"]}
            )
            return bool(answer.json()["state"] == "dispatched")

        assert poll_until(known, 60)
        assert poll_until(lambda: client.get(case["receipt"]["proof"]).status_code == 200, 30)


def test_a_missing_secret_is_told_with_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / ".env"
    empty.touch()
    bare = {
        name: value for name, value in os.environ.items() if name not in ("SECRET_KEY", "POSTGRES_PASSWORD")
    }
    told = subprocess.run(
        [*COMPOSE, "--env-file", str(empty), "config"], env=bare, capture_output=True, text=True, check=False
    )
    assert told.returncode != 0
    assert "make up" in told.stderr
