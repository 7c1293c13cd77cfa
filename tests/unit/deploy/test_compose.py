"""What Compose and the proxy do with a service that ends, hangs or is not ready."""

from typing import Any

import yaml

from shared.settings import SERVICES
from tests.paths import REPO

COMPOSE: dict[str, Any] = yaml.safe_load((REPO / "deploy" / "docker-compose.yml").read_text())["services"]
CADDYFILE = (REPO / "deploy" / "Caddyfile").read_text()
ONCE = {"topics", "migrate", "operator"}
"""They do one thing and end."""


def test_what_ended_is_started_again() -> None:
    """The watchdog ends a process that hangs, and relies on it."""
    policies = {name: service["restart"] for name, service in COMPOSE.items() if name not in ONCE}
    assert set(SERVICES) <= policies.keys()
    assert set(policies.values()) == {"unless-stopped"}


def test_no_proxy_withdraws_a_service_that_is_not_ready() -> None:
    """Intake goes on while Kafka is away: readiness is for the start and for operators."""
    assert "health_uri" not in CADDYFILE
    assert CADDYFILE.count("uri /readyz") == 1  # the one address that asks all four


def test_a_service_that_hangs_does_not_hang_the_common_readiness() -> None:
    head, _, rest = CADDYFILE.partition("handle /readyz {")
    assert "response_header_timeout 3s" in head.partition("(ready) {")[2]
    assert "import ready_last" in rest.partition("handle /healthz")[0]
