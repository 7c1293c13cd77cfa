"""`civicloom run`: a sample city on this machine, with all servers that it needs."""

from pathlib import Path
from typing import Annotated

import typer

from services.environment import REPOSITORY, pack_folder


def register(cli: typer.Typer) -> None:
    cli.command("run")(run)


def run(
    *,
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=65535, help="The port of the city's one address.")
    ] = 8080,
    data_dir: Annotated[
        Path,
        typer.Option(
            envvar="DATA_DIR", file_okay=False, help="The folder of all data. A second city needs its own."
        ),
    ] = REPOSITORY / ".data",
    pack: Annotated[str, typer.Option(envvar="PACK", help="The policy pack of the city.")] = "cn-city",
    policies: Annotated[
        Path, typer.Option(envvar="POLICIES_DIR", help="The folder of the packs.")
    ] = REPOSITORY / "policies",
    sample: Annotated[bool, typer.Option(help="Simulate citizens and departments, or do not.")] = True,
) -> int:
    """Start a sample city on this machine.

    It starts PostgreSQL, Kafka, the four services and a proxy at one address; Ctrl-C stops all of them.
    DATABASE_URL and KAFKA_BOOTSTRAP name servers to use instead, KAFKA_PORT fixes the broker's port, and
    SMTP_URL sends real mail.
    """
    from deploy.local.errors import LocalError, UnusableSettingError
    from deploy.local.supervisor import Supervisor

    folder = pack_folder(policies, pack)
    try:
        Supervisor(port, data_dir, folder, sample=sample).run()
    except UnusableSettingError as error:
        raise typer.BadParameter(str(error), param_hint="environment") from error
    except LocalError as error:
        typer.echo(f"civicloom run: {error}", err=True)
        return 1
    return 0
