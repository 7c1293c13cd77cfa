"""HTTP intake: concerns posted to inquiry, acknowledged after commit; beside a server that only inserts."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

import asyncpg
import uvicorn
import uvloop

from bench.generator import SPAWN
from bench.httpload import Answered, Load, json_bodies, run_load
from bench.sample import Samples
from bench.stage import Stage
from bench.whole import Failed
from deploy.local.ports import free_port
from shared.clock import machine_now

CONNECTIONS = 64
_BODIES = 500
_WARM_UP = 500
_INSERT = "INSERT INTO floor_intake (key, body) VALUES ($1, $2)"


@dataclass(frozen=True, slots=True)
class Intake:
    """Acknowledged requests a second with their latencies in ms, CPU us a request, and the floor's rate."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    floor_rate: float


async def run_intake(on: Stage, requests: int) -> Intake:
    """Posts `requests` concerns. Raises Failed unless each was answered 201 and is in the table, once."""
    url = f"{on.installation.url('inquiry')}/api/inquiry/v1/inquiries"
    bodies = _bodies(on)
    _all_taken(await run_load(Load(url, bodies, CONNECTIONS, _WARM_UP)), _WARM_UP)
    meter = on.meter()
    await meter.take(on.connection)
    meter.begin()
    answered = await run_load(Load(url, bodies, CONNECTIONS, requests))
    await meter.take(on.connection)
    _all_taken(answered, requests)
    stored = await on.connection.fetchval("SELECT count(*) FROM inquiry.inquiry")
    if stored != _WARM_UP + requests:
        raise Failed(f"{stored} cases for {_WARM_UP + requests} acknowledged requests")
    return Intake(
        requests,
        requests / answered.seconds,
        answered.percentile(0.5) * 1000,
        answered.percentile(0.99) * 1000,
        {name: spent * 1e6 / requests for name, spent in meter.cpu_seconds().items()},
        await _floor_rate(on, bodies, requests),
    )


def _bodies(on: Stage) -> tuple[bytes, ...]:
    samples = Samples(on.pack, machine_now().date(), seed=2)
    return json_bodies([sample.body() for sample in samples.take(_BODIES)])


def _all_taken(answered: Answered, requests: int) -> None:
    if answered.statuses != {201: requests}:
        raise Failed(f"answers by status: {answered.statuses}, wanted {requests} times 201")


async def _floor_rate(on: Stage, bodies: tuple[bytes, ...], requests: int) -> float:
    """The same load on a server that reads the body, inserts it in one statement and says 201."""
    await on.connection.execute("CREATE TABLE floor_intake (key text PRIMARY KEY, body bytea NOT NULL)")
    port = free_port()
    server = SPAWN.Process(target=_serve, args=(on.installation.database_url, port), daemon=True)
    server.start()
    try:
        await _answering(port)
        load = Load(f"http://127.0.0.1:{port}/", bodies, CONNECTIONS, requests)
        answered = await run_load(load)
    finally:
        server.terminate()
        server.join()
    _all_taken(answered, requests)
    return requests / answered.seconds


async def _answering(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise Failed("the floor's server does not start")


def _serve(database_url: str, port: int) -> None:
    uvloop.run(_bare_server(database_url, port))


async def _bare_server(database_url: str, port: int) -> None:
    async with asyncpg.create_pool(database_url, min_size=10, max_size=10) as pool:

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            await pool.execute(_INSERT, secrets.token_hex(16), body)
            await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{}"})

        config = uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off")
        await uvicorn.Server(config).serve()
