"""`civicloom ready`: what keeps services from working, and what waits in them."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.environment import read_settings, service_named

if TYPE_CHECKING:
    from shared.settings import ServiceName

_SECONDS = 5.0
_MOST_BYTES = 1_000_000


def register(cli: typer.Typer) -> None:
    cli.command("ready")(ready)


def ready(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE]...", help="Default: all four.", show_default=False),
    ] = None,
) -> int:
    """Show what keeps services from working, and what waits.

    It asks each at its own port, since the one address names no parts; in a container only its own service is
    to be found. Exits 1 if one is not ready.
    """
    from shared.settings import SERVICES

    asked = [service_named(name) for name in services or SERVICES]
    found = [(service, *asyncio.run(_ask(service))) for service in asked]
    for service, is_ready, lines in found:
        typer.echo("\n".join([f"{service:10} {'ready' if is_ready else 'not ready'}", *lines]))
    return int(not all(is_ready for _, is_ready, _ in found))


async def _ask(service: "ServiceName") -> tuple[bool, list[str]]:
    """Whether it is ready, and a line for each part that is not or that waits."""
    import httpx

    from shared.bounded_client import BoundedClient

    settings = read_settings(service)
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104  (it listens everywhere)
    try:
        async with BoundedClient(
            most_bytes=_MOST_BYTES, seconds=_SECONDS, timeout=_SECONDS, trust_env=False
        ) as client:
            answer = await client.get(f"http://{host}:{settings.port}/readyz")
        said: dict[str, Any] = answer.json()
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        return False, [f"  no answer from {host}:{settings.port}: {type(error).__name__}"]
    missing = [f"  {part}: {reason}" for part, reason in said.get("not_ready", {}).items()]
    return answer.status_code == httpx.codes.OK, [
        *missing,
        *(f"  waits: {part}" for part in said.get("degraded", [])),
    ]
