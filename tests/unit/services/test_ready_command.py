"""`civicloom ready` asks the services themselves, since the one address names no parts."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.local.ports import free_port
from services.cli import main
from shared.settings import SERVICES

AUDIT = {
    "status": 503,
    "not_ready": {"log": "civic.inquiry.v1/0 is another log"},
    "degraded": ["audit disk: full"],
}


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said: dict[str, Any] = self.server.said  # type: ignore[attr-defined]
        # Asked through no proxy, which this environment names.
        assert self.path == "/readyz"
        assert "X-Forwarded-For" not in self.headers
        body = json.dumps(said).encode()
        self.send_response(503 if "not_ready" in said else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What each service answers; routing does not run."""
    said: dict[str, Any] = {name: {"status": "ready"} for name in SERVICES}
    monkeypatch.setenv("SECRET_KEY", "00" * 32)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    servers = []
    for name in SERVICES:
        everywhere = name == "audit"  # as in a container
        monkeypatch.setenv(f"{name.upper()}_HOST", "0.0.0.0" if everywhere else "127.0.0.1")  # noqa: S104
        if name == "routing":
            monkeypatch.setenv("ROUTING_PORT", str(free_port()))
            continue
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
        server.said = said[name]  # type: ignore[attr-defined]
        monkeypatch.setenv(f"{name.upper()}_PORT", str(server.server_port))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
    yield said
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_names_what_is_missing_and_what_waits(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["audit"].update(AUDIT)
    answers["publisher"]["degraded"] = ["publisher email: no SMTP_URL"]
    assert main(["ready"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["publisher  ready", "  waits: publisher email: no SMTP_URL", "inquiry    ready"]
    assert lines[3] == "routing    not ready"
    assert lines[4].startswith("  no answer from 127.0.0.1:")
    assert lines[5:] == [
        "audit      not ready",
        "  log: civic.inquiry.v1/0 is another log",
        "  waits: audit disk: full",
    ]


def test_one_service_alone_may_be_asked(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ready", "audit", "publisher"]) == 0
    assert capsys.readouterr().out.splitlines() == ["audit      ready", "publisher  ready"]
    assert main(["ready", "nobody"]) == 2
    assert "nobody is none of publisher, inquiry, routing, audit" in capsys.readouterr().err
