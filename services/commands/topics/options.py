"""The options that the commands about topics share."""

from pathlib import Path
from typing import Annotated

import typer

from services.environment import REPOSITORY


def addresses(value: str) -> str:
    for address in value.split(","):
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit()):
            raise typer.BadParameter(f"{address!r} is not host:port")
    return value


Bootstrap = Annotated[
    str,
    typer.Option(
        envvar="KAFKA_BOOTSTRAP", help="The brokers as host:port, separated by commas.", callback=addresses
    ),
]
Namespace = Annotated[
    str, typer.Option(envvar="TOPIC_NAMESPACE", help="The first part of every topic's name.")
]
Pack = Annotated[str, typer.Option(envvar="PACK", help="The policy pack whose units get topics.")]
Policies = Annotated[Path, typer.Option(envvar="POLICIES_DIR", help="The folder of the packs.")]
POLICIES = REPOSITORY / "policies"
