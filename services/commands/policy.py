"""`civicloom policy`: checks a policy pack before it is used, and compares two versions."""

import json
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from services.environment import REPOSITORY, AsJson

policy = typer.Typer(
    name="policy", no_args_is_help=True, help="Check policy packs and compare their versions."
)

_POLICIES = REPOSITORY / "policies"


def register(cli: typer.Typer) -> None:
    cli.add_typer(policy)


@policy.command("check")
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The folders of the packs. Without any, all packs in policies/ are checked.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Report the errors of packs with file and line.

    Exits 1 if a pack cannot be used.
    """
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


@policy.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(help="The folder of the old version.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The folder of the new version.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Show what a new version of a pack changes.

    Exits 0 if nothing changes, 1 if something does, and 2 if a folder cannot be used.
    """
    from shared.policy.diff import diff as compare
    from shared.policy.errors import PolicyError
    from shared.policy.loader import load_pack

    for folder in (old, new):
        if not folder.is_dir():
            raise typer.BadParameter(f"{folder} is not a folder", param_hint="FOLDERS")
    try:
        before, after = load_pack(old), load_pack(new)
    except PolicyError as error:
        typer.echo(str(error), err=True)
        return 2
    changes = compare(before, after)
    if as_json:
        document = {
            "old": before.version,
            "new": after.version,
            "changes": [change._asdict() for change in changes],
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        typer.echo(f"{before.version} -> {after.version}")
        for file, of_file in groupby(changes, lambda change: change.file):
            typer.echo(file)
            for change in of_file:
                typer.echo(f"  {change}")
        if not changes:
            typer.echo("no difference")
    return int(bool(changes))
