"""`civicloom policy`: check a policy pack before it is used."""

import json
from pathlib import Path
from typing import Annotated

import typer

policy = typer.Typer(name="policy", no_args_is_help=True, help="Check policy packs.")

_POLICIES = Path(__file__).resolve().parents[2] / "policies"


def register(cli: typer.Typer) -> None:
    cli.add_typer(policy)


@policy.callback()
def _group() -> None:
    # Its presence keeps the subcommand by name while there is only one.
    pass


@policy.command("check")
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of packs; without any, all in policies/.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Say what is wrong with a pack, with file and line. Exits 1 if one cannot be used."""
    from shared.policy.check import check as look

    found = folders or sorted(path for path in _POLICIES.iterdir() if path.is_dir())
    if absent := [folder for folder in found if not folder.is_dir()]:
        raise typer.BadParameter(f"{absent[0]} is not a folder", param_hint="FOLDERS")
    reports = {str(folder): look(folder) for folder in found}
    if as_json:
        typer.echo(
            json.dumps({folder: report._asdict() for folder, report in reports.items()}, ensure_ascii=False)
        )
    else:
        for folder, report in reports.items():
            typer.echo(f"{folder}: {'cannot be used' if report.problems else 'sound'}")
            for line in report.problems:
                typer.echo(f"  {line}")
            for line in report.remarks:
                typer.echo(f"  (remark) {line}")
    return int(any(report.problems for report in reports.values()))
