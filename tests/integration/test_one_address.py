"""The Caddyfile joins four services: paths, readiness, and the answer of a dead service."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import caddy
from deploy.local.ports import free_port
from shared.web.forwarded import ForwardedMiddleware

SERVICES = ("publisher", "inquiry", "routing", "audit")


class _Stub(BaseHTTPRequestHandler):
    """A service that says its name, and streams at /log/stream until it is let go."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Service)
        if self.path == "/readyz" and server.hangs:
            server.go_on.wait(20)
        elif self.path == "/readyz":
            # As a service does: to a proxy it names no parts.
            outside = "X-Forwarded-For" in self.headers
            said = "not ready" if server.missing else "ready"
            self._answer(503 if server.missing else 200, said if outside else server.missing or said)
        elif self.path == "/ask/who":
            self._answer(200, ", ".join(self.headers.get_all("X-Forwarded-For", [])))
        elif self.path == "/log/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b"data: first\n\n")
            self.wfile.flush()
            server.go_on.wait(20)
        elif self.path.startswith("/log/tile/"):
            self._answer(200, "entry" * 1000, type_="application/octet-stream")
        else:
            self._answer(200, server.service)

    def _answer(self, status: int, text: str, type_: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", type_)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class _Service(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), _Stub)
        self.service = service
        self.missing = ""
        self.hangs = False
        self.go_on = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end(self) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()


@dataclass(frozen=True)
class City:
    address: str
    services: dict[str, _Service]

    def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        return httpx.get(self.address + path, headers={"Accept": accept})


@contextlib.contextmanager
def joined(folder: Path, **more: str) -> Iterator[City]:
    """Four stubs behind the proxy; `more` is added to its environment."""
    with contextlib.ExitStack() as stack:
        services = {name: _Service(name) for name in SERVICES}
        for service in services.values():
            stack.callback(service.end)
        port = free_port()
        ports = caddy.Services(**{name: service.server_port for name, service in services.items()})
        arguments, environment = caddy.command(port, ports, folder)
        if other := os.environ.get("CADDY"):  # the version of Compose, where it is installed
            arguments[0] = other
        log = stack.enter_context((folder / "caddy.log").open("wb"))
        proxy = stack.enter_context(
            subprocess.Popen(arguments, env=os.environ | environment | more, stdout=log, stderr=log)
        )
        stack.callback(proxy.wait, 10)
        stack.callback(proxy.terminate)
        city = City(f"http://127.0.0.1:{port}", services)
        _wait_until_it_listens(city, proxy, folder / "caddy.log")
        yield city


@pytest.fixture(scope="module")
def shared_city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with joined(tmp_path_factory.mktemp("city")) as city:
        yield city


@pytest.fixture
def city(shared_city: City) -> City:
    """All of it well again."""
    for service in shared_city.services.values():
        service.missing = ""
    return shared_city


def _wait_until_it_listens(city: City, proxy: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and proxy.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            assert city.get("/healthz").text == "alive"
            return
    pytest.fail(f"the proxy does not listen:\n{log.read_text()}")


OWNERS = {
    "publisher": [
        "/",
        "/policies",
        "/policies/x",
        "/feeds/a.atom",
        "/hub",
        "/wechat/callback",
        "/static/x.css",
        "/publish",
        "/subscribe",
        "/api/publisher/openapi.json",
        "/nowhere",
        "/asking",
    ],
    "inquiry": [
        "/ask",
        "/track",
        "/clerk/queue",
        "/login",
        "/login/callback",
        "/logout",
        "/open311/v2/x.xml",
        "/api/inquiry/v1/inquiries",
    ],
    "routing": ["/desk", "/desk/water", "/dispatch", "/api/routing/v1/x"],
    "audit": ["/oversight", "/log/checkpoint", "/api/audit/v1/x"],
}


def test_every_path_reaches_its_service(city: City) -> None:
    for service, paths in OWNERS.items():
        for path in paths:
            assert city.get(path).text == service, path
    assert city.get("/metrics").status_code == 404


# Of these a proxy would forward or drop its own header, if it believed a client.
DISGUISES = [
    {},
    {"Connection": "X-Forwarded-For"},
    {"X-Forwarded-For": ""},
    {"Connection": "close, x-forwarded-for"},
]


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("service", SERVICES)
def test_the_address_is_ready_when_all_four_are_and_names_no_part(
    city: City, service: str, disguise: dict[str, str]
) -> None:
    answer = httpx.get(city.address + "/readyz", headers=disguise)
    assert (answer.status_code, answer.text) == (200, "ready")
    city.services[service].missing = f"{service}: no broker"
    answer = httpx.get(city.address + "/readyz", headers=disguise)
    assert (answer.status_code, answer.text) == (503, "not ready")
    assert service not in str(answer.headers)
    inside = httpx.get(f"http://127.0.0.1:{city.services[service].server_port}/readyz")
    assert inside.text == f"{service}: no broker"


def test_a_dead_service_has_a_friendly_page_and_the_others_go_on(tmp_path: Path) -> None:
    with joined(tmp_path) as city:
        city.services["routing"].end()
        _routing_is_away(city)


def _routing_is_away(city: City) -> None:
    page = city.get("/desk", "text/html,*/*")
    assert page.status_code in (502, 503)
    assert "暂时无法使用" in page.text
    assert "this part of the service is unavailable" in page.text
    style = re.search("<style>(.*?)</style>", page.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["content-security-policy"]

    document = city.get("/api/routing/v1/x", "text/html")
    assert document.headers["content-type"] == "application/problem+json"
    assert json.loads(document.text)["status"] == document.status_code
    assert city.get("/readyz").status_code in (502, 503)
    assert city.get("/ask").text == "inquiry"


@pytest.mark.parametrize("service", ["routing", "audit"])
def test_readiness_does_not_wait_for_a_service_that_hangs(tmp_path: Path, service: str) -> None:
    """The last of the four is asked in another way than the others."""
    with joined(tmp_path) as city:
        city.services[service].hangs = True
        answer = httpx.get(f"{city.address}/readyz", timeout=4)
        assert answer.status_code == 504
        assert json.loads(answer.text)["status"] == 504


def test_a_bundle_of_the_log_comes_compressed(city: City) -> None:
    answer = city.get("/log/tile/entries/000")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == "entry" * 1000


def test_a_stream_arrives_at_once(city: City) -> None:
    with httpx.stream(
        "GET", city.address + "/log/stream", headers={"Accept-Encoding": "gzip"}, timeout=10
    ) as stream:
        assert next(stream.iter_text()) == "data: first\n\n"
        assert not city.services["audit"].go_on.is_set()


SPOOFED = {"X-Forwarded-For": "192.0.2.1, 198.51.100.2"}


def test_what_a_client_says_of_its_own_address_is_forgotten(city: City) -> None:
    assert httpx.get(city.address + "/ask/who", headers=SPOOFED).text == "127.0.0.1"


@pytest.mark.parametrize("forwarded", ["198.51.100.2", SPOOFED["X-Forwarded-For"], "192.0.2.1,2001:db8::7"])
def test_the_proxy_in_front_is_believed_in_what_it_adds_itself(tmp_path: Path, forwarded: str) -> None:
    with joined(tmp_path, FRONT_PROXIES="127.0.0.0/8 192.0.2.64") as city:
        who = httpx.get(city.address + "/ask/who", headers={"X-Forwarded-For": forwarded}).text
    assert who == forwarded.replace(" ", "").split(",")[-1]


@pytest.mark.parametrize("own", [",", ", ,", ", unknown", ", fe80::1%eth0", ", 198.51.100.2:4711", ",,"])
async def test_what_a_front_proxy_adds_badly_makes_no_spoofed_address_the_client(
    tmp_path: Path, own: str
) -> None:
    with joined(tmp_path, FRONT_PROXIES="127.0.0.0/8") as city:
        headers = {"X-Forwarded-For": f"192.0.2.1{own}"}
        passed_on = (await asyncio.to_thread(httpx.get, city.address + "/ask/who", headers=headers)).text
    host = await client_of_forwarded(passed_on)
    assert host in ("127.0.0.1", "fe80::1", "198.51.100.2")


async def client_of_forwarded(value: str) -> str:
    """The client that a service of Compose sees, where every caller is the proxy."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, *_: object) -> None:
        seen.update(scope)

    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", value.encode())]}
    await ForwardedMiddleware(app, trusted="*")(scope, None, None)  # type: ignore[arg-type]
    host: str = seen["client"][0]
    return host


def test_a_head_that_trickles_is_cut_off_and_holds_up_nobody(tmp_path: Path) -> None:
    with joined(tmp_path, READ_HEADER="1s") as city:
        host, _, port = city.address.removeprefix("http://").partition(":")
        with contextlib.ExitStack() as stack:
            slow = [
                stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
                for _ in range(100)
            ]
            for one in slow:
                one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            assert city.get("/ask/").text == "inquiry"
            began = time.monotonic()
            for one in slow:
                with contextlib.suppress(OSError):  # it may be gone already
                    one.sendall(b"a")
                _answer_until_the_end(one)
            assert time.monotonic() - began < 10


def _answer_until_the_end(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1000):
            received += piece
    return received
