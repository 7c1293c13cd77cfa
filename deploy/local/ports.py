"""Free TCP ports of 127.0.0.1."""

import secrets
import socket
from pathlib import Path

_LOWEST = 15_000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _first_ephemeral_port() -> int:
    try:
        return int(_RANGE_FILE.read_text().split()[0])
    except OSError:
        return 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that is free now, below the range of outgoing connections where that leaves room.

    A port inside that range can be lost while its server restarts: a client that keeps connecting to it may
    get that very port as its own source port and then talks to itself. Another process may still take the
    port before the server binds it, so the caller must be ready to try another one.
    """
    room = _first_ephemeral_port() - _LOWEST
    for _ in range(100 if room > 1_000 else 0):
        port = _LOWEST + secrets.randbelow(room)
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
