"""`civicloom audit`: verifies the log or a receipt with nothing but the public key; lets a log go on."""

import asyncio
import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import AsJson, open_database
from shared.clock import machine_now
from shared.errors import DatabaseAway

if TYPE_CHECKING:
    from services.audit.log.gap_detection import SequenceGap
    from services.audit.log.note import Verifier
    from services.audit.log.reset import Reset

_GAPS_SHOWN = 10_000

audit = typer.Typer(name="audit", no_args_is_help=True, help="Verify the log and receipts; let a log go on.")

Key = Annotated[
    str,
    typer.Option("--key", help="The log's public key (vkey), or @FILE with it.", show_default=False),
]


def register(cli: typer.Typer) -> None:
    cli.add_typer(audit)


@audit.command("verify")
def verify(
    location: Annotated[
        str, typer.Argument(help="The folder of the log's files, or their base URL.", show_default=False)
    ],
    key: Key,
    since: Annotated[
        Path | None,
        typer.Option("--since", help="The file of an earlier checkpoint: the log must extend it."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Recompute the whole log from its entries.

    Exits 1 and names the place if anything is wrong.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from services.audit.log.verify import verify as check

    vkey = _verifier(key).vkey
    place = location if location.startswith(("http://", "https://")) else Path(location)
    if isinstance(place, Path) and not place.is_dir():
        raise typer.BadParameter(f"{location} is neither a folder nor an http(s) URL", param_hint="LOCATION")
    older = None if since is None else _read(since, "--since")
    columns = TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("entries", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = check(place, vkey, show, older)
    size = report.checkpoint.size if report.checkpoint else None
    if as_json:
        failure = {"place": report.failure.place, "reason": report.failure.reason} if report.failure else None
        resets = [{"index": index, **reset._asdict()} for index, reset in report.resets]
        document = {"ok": report.ok, "size": size, "entries": report.entries, "failure": failure}
        typer.echo(json.dumps(document | {"resets": resets}))
    elif report.failure is None:
        grown = "" if older is None else ", which extends the older one,"
        under = f"{report.entries} entries under the signed checkpoint{grown}"
        typer.echo(f"verified {under} in {report.seconds:.1f} s")
    else:
        typer.echo(f"NOT verified: {report.failure.place}: {report.failure.reason}")
    if report.failure is None and not as_json:
        for index, reset in report.resets:
            typer.echo(f"entry {index}: {reset.sentence()}")
    return int(not report.ok)


@audit.command("resume")
def resume(
    place: Annotated[
        str, typer.Argument(metavar="TOPIC/PARTITION", help="As /readyz names it.", show_default=False)
    ],
    *,
    reason: Annotated[str, typer.Option(help="What has happened; kept on record.", show_default=False)],
    operator: Annotated[str, typer.Option(help="Your name for the record.", default_factory=getpass.getuser)],
    as_json: AsJson = False,
) -> None:
    """Let a log go on that stands since a partition was made again.

    Logs an entry of the kind `reset`, for everybody to see, and reads the partition again from the beginning
    of what stands there now. Works whether audit runs or not. What stood in the lost log and was not logged
    yet stays lost.
    """
    topic, _, number = place.rpartition("/")
    if not (topic and number.isascii() and number.isdecimal() and len(number) <= 9):
        raise typer.BadParameter(f"{place!r} is not topic/partition", param_hint="TOPIC/PARTITION")
    if not reason.strip():
        raise typer.BadParameter("say what has happened", param_hint="--reason")
    done = asyncio.run(_resume((topic, int(number)), operator, reason))
    if as_json:
        found = None if done is None else {"index": done[1], **done[0]._asdict()}
        typer.echo(json.dumps({"resumed": found}))
    elif done is None:
        typer.echo(f"nothing to resume: the log does not stand at {place}")
    else:
        typer.echo(f"entry {done[1]}: {done[0].sentence()}")


@audit.command("gaps")
def gaps(
    *,
    accept: Annotated[
        str | None, typer.Option(metavar="SUBJECT", help="Give up on what is missing of this subject.")
    ] = None,
    reason: Annotated[str, typer.Option(help="With --accept: why; kept on record.")] = "",
    operator: Annotated[str, typer.Option(help="Your name for the record.", default_factory=getpass.getuser)],
    everything: Annotated[bool, typer.Option("--all", help="Show accepted ones too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show events that are missing in the log.

    A later event of the same sequence has shown them to be missing; one that comes late closes its gap.
    Exits 1 if any is missing that was not accepted.
    """
    if (accept is None) != (not reason.strip()):
        raise typer.BadParameter("--accept SUBJECT and --reason belong together", param_hint="--accept")
    found = asyncio.run(
        _gaps(accept, f"{operator} on {machine_now():%Y-%m-%d}: {reason}", accepted=everything)
    )
    if as_json:
        typer.echo(json.dumps([_gap_document(subject, gap) for subject, gap in found]))
    elif not found:
        typer.echo("no gaps")
    else:
        for subject, gap in found:
            state = "missing" if gap.accepted is None else f"accepted by {gap.accepted}"
            typer.echo(f"{subject}  {gap.source}  {gap.sequences}  {state}  (entry {gap.entry})")
    return int(any(gap.accepted is None for _, gap in found))


def _gap_document(subject: str, gap: "SequenceGap") -> dict[str, object]:
    return {
        "subject": subject,
        "source": gap.source,
        "sequences": gap.sequences,
        "missing": gap.missing,
        "entry": gap.entry,
        "accepted": gap.accepted,
    }


async def _gaps(accept: str | None, statement: str, *, accepted: bool) -> "list[tuple[str, SequenceGap]]":
    from services.audit.log import queries

    async with open_database("audit") as database:
        if accept is not None and not await queries.accept_gaps(database.pool, accept, statement):
            raise typer.BadParameter(f"nothing is missing of {accept}", param_hint="--accept")
        return await queries.list_gaps(database.pool, _GAPS_SHOWN, accepted=accepted)


async def _resume(partition: tuple[str, int], operator: str, reason: str) -> "tuple[Reset, int] | None":
    from services.audit.log.reset import NotResettable
    from services.audit.log.resume import resume as go_on
    from shared.infrastructure import is_infrastructure

    async with open_database("audit") as database:
        connection = await database.connect()
        try:
            return await go_on(connection, partition, operator=operator, reason=reason)
        except NotResettable as error:
            raise typer.BadParameter(str(error), param_hint="TOPIC/PARTITION") from error
        except Exception as error:
            if not is_infrastructure(error):
                raise
            raise DatabaseAway(f"the database of audit does not answer: {error!r}") from error
        finally:
            connection.terminate()


@audit.command("proof")
def proof(
    file: Annotated[
        Path, typer.Argument(help="The .tlog-proof file from /log/proof/<event id>.", show_default=False)
    ],
    event: Annotated[
        Path,
        typer.Option(
            "--event", help="The file of the receipt: the event, byte for byte.", show_default=False
        ),
    ],
    key: Key,
    as_json: AsJson = False,
) -> int:
    """Check offline that a receipt is in the log.

    Exits 1 if the proof does not hold.
    """
    from services.audit.log.errors import LogError
    from services.audit.log.proof import parse_proof

    verifier = _verifier(key)
    written, value = _read(file, "FILE"), _read(event, "--event")
    try:
        parsed = parse_proof(written)
        checkpoint = parsed.verify_event(value, verifier)
    except LogError as error:
        typer.echo(json.dumps({"ok": False, "reason": str(error)}) if as_json else f"NOT proven: {error}")
        return 1
    if as_json:
        document = {"ok": True, "origin": checkpoint.origin, "index": parsed.index, "size": checkpoint.size}
        typer.echo(json.dumps(document))
    else:
        typer.echo(
            f"proven: the event is entry {parsed.index} of {checkpoint.size} in the log {checkpoint.origin}"
        )
    return 0


def _verifier(key: str) -> "Verifier":
    from services.audit.log.errors import Malformed
    from services.audit.log.note import Verifier

    text = _read(Path(key[1:]), "--key").decode(errors="replace") if key.startswith("@") else key
    try:
        return Verifier.parse(text.strip())
    except Malformed as error:
        raise typer.BadParameter(f"not a public key of a log: {error}", param_hint="--key") from error


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint=name) from error
