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
        Path,
        typer.Option(
            envvar="DATA_DIR", file_okay=False, help="Everything is kept here; a second run needs its own."
        ),
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
    from deploy.local.errors import LocalError, UnusableSettingError
    from deploy.local.supervisor import Supervisor
    from services.environment import pack_folder

    folder = pack_folder(policies, pack)
    try:
        Supervisor(port, data_dir, folder, sample=sample).run()
    except UnusableSettingError as error:
        raise typer.BadParameter(str(error), param_hint="environment") from error
    except LocalError as error:
        typer.echo(f"civicloom run: {error}", err=True)
        return 1
    return 0
