"""deploy/docker-compose.yml as an operator runs it, under a name and on ports of its own."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.process import poll_until
from shared.settings import SERVICES
from tests.containers import engine
from tests.paths import REPO

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not engine.answers(), reason="no Docker engine answers"),
]

COMPOSE = ["docker", "compose", "-f", str(REPO / "deploy" / "docker-compose.yml")]


@dataclass(frozen=True)
class Composed:
    """An installation that runs: its address, Prometheus', and how `docker compose` is called for it."""

    address: str
    prometheus: str
    command: list[str]

    def says(self, *arguments: str) -> str:
        """What a command in one of its containers prints, errors too, whatever its exit code."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    port = free_port()
    settings = {
        "SECRET_KEY": secrets.token_hex(32),
        **{f"{name}_PASSWORD": secrets.token_hex(16) for name in ("POSTGRES", *map(str.upper, SERVICES))},
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
        yield Composed(
            str(settings["PUBLIC_URL"]), f"http://127.0.0.1:{settings['PROMETHEUS_PORT']}", compose
        )
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout", "20"], check=True)


def test_an_inquiry_goes_through_to_a_department_and_into_the_log(composed: Composed) -> None:
    with httpx.Client(base_url=composed.address, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        taken = client.post(
            "/api/inquiry/v1/inquiries",
            json={"title": "路灯不亮", "text": "桂园路路灯一周不亮。", "service_code": "12345-center"},
            headers={"Idempotency-Key": "compose-0123456789"},
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


def test_prometheus_scrapes_all_four_services_and_loads_the_alerts(composed: Composed) -> None:
    def prometheus(path: str) -> Any:
        return httpx.get(f"{composed.prometheus}/api/v1/{path}", timeout=20).json()["data"]

    def up() -> set[str]:
        found = prometheus("query?query=up")["result"]
        return {one["metric"].get("service") for one in found if one["value"][1] == "1"} - {None}

    assert poll_until(lambda: up() == set(SERVICES), 60), prometheus("targets")
    rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def test_a_service_reads_no_schema_but_its_own(composed: Composed) -> None:
    script = (
        "import asyncio, asyncpg, os\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(os.environ['PUBLISHER_DATABASE_URL'])\n"
        "    await connection.execute('SELECT FROM inquiry.contact')\n"
        "asyncio.run(main())"
    )
    said = composed.says("exec", "-T", "publisher", "python", "-c", script)
    assert "permission denied for schema inquiry" in said
    assert "//postgres:" not in composed.says("exec", "-T", "publisher", "env")


def test_the_operator_s_commands_run_in_a_container(composed: Composed) -> None:
    assert "no dead letters" in composed.says("run", "--rm", "operator", "dlq", "list")
    assert "topics are as declared" in composed.says("run", "--rm", "operator", "topics", "diff")


def test_a_missing_secret_is_reported_with_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / ".env"
    empty.touch()
    bare = {
        name: value
        for name, value in os.environ.items()
        if name != "SECRET_KEY" and not name.endswith("_PASSWORD")
    }
    refused = subprocess.run(
        [*COMPOSE, "--env-file", str(empty), "config"], env=bare, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "make up" in refused.stderr
