"""An OpenTelemetry collector in this process, with scripted answers; it keeps what it accepted."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.otlp import all_spans, parse

Answer = tuple[int, dict[str, str], dict[str, Any]]


class FakeCollector:
    """Gives the scripted `answers` one by one, then accepts everything. A status below 300 accepts a request.

    It refuses requests of more than `largest` bytes.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: deque[Answer] = deque()
        self.largest = 20_000_000
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.taken: list[list[Span]] = []
        self.asked = 0

    @property
    def spans(self) -> list[Span]:
        """All accepted spans in order of arrival."""
        return [span for request in self.taken for span in request]

    @property
    def indexes(self) -> list[int]:
        """The log indexes of all accepted spans in order of arrival."""
        return [index(span) for span in self.spans]


def index(span: Span) -> int:
    (found,) = (one.value.int_value for one in span.attributes if one.key == "civicloom.log.index")
    return found


@contextmanager
def fake_collector() -> Iterator[FakeCollector]:
    """A collector that listens on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.asked += 1
            collector.paths.append(self.path)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, answer = collector.answers.popleft() if collector.answers else (200, {}, {})
            if len(body) > collector.largest:
                status = 413
            if status < 300:
                # Per service in OTLP; the order of the log is that of the indexes within a request.
                collector.taken.append(sorted(all_spans(parse(json.loads(body))), key=index))
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = FakeCollector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
