"""`civicloom audit`: check the log as a stranger would, with nothing but its public key."""

import json
from pathlib import Path
from typing import Annotated

import typer

audit = typer.Typer(name="audit", no_args_is_help=True, help="Verify the log.")


def register(cli: typer.Typer) -> None:
    cli.add_typer(audit)


@audit.callback()
def _group() -> None:
    # Its presence keeps the subcommand by name while there is only one.
    pass


@audit.command("verify")
def verify(
    location: Annotated[
        str, typer.Argument(help="A folder with the log's files, or the URL below which they are.")
    ],
    key: Annotated[
        str, typer.Option("--key", help="The log's public key (vkey), or @FILE with it.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Recompute the whole log from its entries. Exits 1 if anything is wrong, and says where."""
    from rich.progress import Progress

    from services.audit.log.errors import Malformed
    from services.audit.log.verify import verify as check

    vkey = Path(key[1:]).read_text().strip() if key.startswith("@") else key
    place = location if location.startswith(("http://", "https://")) else Path(location)
    if isinstance(place, Path) and not place.is_dir():
        raise typer.BadParameter(f"{location} is neither a folder nor an http(s) URL", param_hint="LOCATION")
    try:
        with Progress(transient=True, disable=as_json) as progress:
            task = progress.add_task("entries", total=None)
            report = check(
                place, vkey, lambda done, total: progress.update(task, completed=done, total=total)
            )
    except Malformed as error:
        raise typer.BadParameter(f"not a public key of a log: {error}", param_hint="--key") from error
    size = report.checkpoint.size if report.checkpoint else None
    if as_json:
        failure = {"place": report.failure.place, "reason": report.failure.reason} if report.failure else None
        typer.echo(json.dumps({"ok": report.ok, "size": size, "entries": report.entries, "failure": failure}))
    elif report.failure is None:
        typer.echo(f"verified {report.entries} entries under the signed checkpoint in {report.seconds:.1f} s")
    else:
        typer.echo(f"NOT verified: {report.failure.place}: {report.failure.reason}")
    return int(not report.ok)
