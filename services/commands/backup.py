"""`civicloom backup`: one folder that `civicloom restore` can bring an installation back from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.environment import AsJson


def register(cli: typer.Typer) -> None:
    cli.command("backup")(backup)


def backup(
    folder: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    dump: Annotated[
        Path | None,
        typer.Option(
            help="A dump that `pg_dump -Fc` has just made, where the program is not on this machine.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """Back up databases, keys and log in one folder.

    Every file is verified afterwards. Services go on meanwhile. The folder holds secrets: keep it as you
    keep them.
    """
    from dataclasses import asdict

    from pydantic import ValidationError

    from services.backup import back_up
    from shared.infrastructure import is_infrastructure
    from shared.settings import describe_fault

    try:
        manifest = back_up(folder, dump)
    except ValidationError as error:
        raise typer.BadParameter(describe_fault(error), param_hint="environment") from error
    except Exception as error:
        if not is_infrastructure(error):
            raise
        typer.echo(f"civicloom backup: {error or type(error).__name__}", err=True)
        return 1
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
    else:
        typer.echo(
            f"{folder}: {len(manifest.files)} files, verified; "
            f"the log has {manifest.log_size} entries; PostgreSQL {manifest.postgres}"
        )
    return 0
