"""A copy of a service whose port another process took between the choice and the bind."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.installation import Installation, NotReady
from shared.settings import ServiceName

# As a service listens: by uvicorn, ready at once.
_SERVICE = """
import os
import uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ready"})
uvicorn.run(app, host=os.environ["INQUIRY_HOST"], port=int(os.environ["INQUIRY_PORT"]), lifespan="off")
"""


def listens(_: ServiceName) -> Sequence[str]:
    return (sys.executable, "-c", _SERVICE)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation("postgresql://u@h/d", "h:9092", tmp_path, services=["inquiry"], command=listens)


async def test_it_starts_on_another_port(installation: Installation) -> None:
    copy = installation.copy("inquiry")
    with socket.create_server(("127.0.0.1", copy.port)) as other:
        installation.start("inquiry")
        await installation.ready()
        assert copy.port != other.getsockname()[1]
    assert installation.ended_by_themselves() == []
    await installation.stop()


async def test_it_waits_for_the_port_that_its_clients_know(installation: Installation) -> None:
    installation.start("inquiry")
    await installation.ready()
    copy, known = installation.copy("inquiry"), installation.url("inquiry")
    installation.kill("inquiry")
    with socket.create_server(("127.0.0.1", copy.port)):
        installation.start("inquiry")
        with pytest.raises(NotReady):
            await installation.ready(seconds=2)
    await installation.ready()
    assert installation.url("inquiry") == known
    assert installation.ended_by_themselves() == []
    await installation.stop()
