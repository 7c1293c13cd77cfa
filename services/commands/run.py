"""`civicloom run`: a sample city on this machine, with everything that it needs."""

from pathlib import Path
from typing import Annotated

import typer

_REPO = Path(__file__).resolve().parents[2]


def register(cli: typer.Typer) -> None:
    cli.command("run")(run)


def run(
    *,
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=65535, help="The one address's port.")
    ] = 8080,
    data_dir: Annotated[
        Path, typer.Option(envvar="DATA_DIR", help="Everything is kept here; a second run needs its own.")
    ] = _REPO / ".data",
    pack: Annotated[str, typer.Option(envvar="PACK", help="Policy pack of the city.")] = "cn-city",
    policies: Annotated[Path, typer.Option(envvar="POLICIES_DIR", help="Folder of the packs.")] = _REPO
    / "policies",
    sample: Annotated[bool, typer.Option(help="Play citizens and departments.")] = True,
) -> int:
    """Start PostgreSQL, Kafka, the services and a sample city at one address; Ctrl-C stops it.

    KAFKA_BOOTSTRAP and DATABASE_URL name servers to use instead, KAFKA_PORT fixes the broker's port, SMTP_URL
    sends mail for real.
    """
    from deploy.local.errors import LocalError
    from deploy.local.supervisor import Supervisor

    if not (policies / pack).is_dir():
        known = sorted(found.parent.name for found in policies.glob("*/pack.yaml"))
        raise typer.BadParameter(
            f"there is no pack {pack!r} in {policies}: choose {', '.join(known) or 'another folder'}",
            param_hint="--pack",
        )
    try:
        Supervisor(port, data_dir, pack, policies, sample=sample).run()
    except LocalError as error:
        typer.echo(f"civicloom run: {error}", err=True)
        return 1
    return 0
