"""`civicloom contracts`: the generated files in `contracts/`, and whether a change breaks somebody."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

contracts = typer.Typer(
    name="contracts", no_args_is_help=True, help="Generate contracts/ and find breaking changes."
)

_REPO = Path(__file__).resolve().parents[2]

Folder = Annotated[Path, typer.Option(help="The folder of generated files.", file_okay=False)]
Base = Annotated[
    str | None,
    typer.Option(
        envvar="CONTRACTS_BASE",
        help="What is published: a git revision, or a folder like contracts/. By default where this branch "
        "left origin/main, else the commit before this one.",
    ),
]


def register(cli: typer.Typer) -> None:
    cli.add_typer(contracts)


@contracts.command()
def write(*, folder: Folder = _REPO / "contracts", base: Base = None) -> None:
    """Generate the folder from the models. Published examples stay as they are."""
    from shared.contracts.folder import generated

    wanted = generated(_published(base))
    for path in _read(folder).keys() - wanted.keys():
        (folder / path).unlink()
    for path, content in wanted.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@contracts.command()
def check(*, folder: Folder = _REPO / "contracts", base: Base = None) -> int:
    """Exit 1 if the folder is not what the models say, or if a change breaks a reader or a writer."""
    from shared.contracts.compatibility import incompatible_changes
    from shared.contracts.folder import GOLDEN, generated, schemas_in, stale

    published, found = _published(base), _read(folder)
    examples = {path: content for path, content in found.items() if path.startswith(GOLDEN)}
    wanted = generated({**examples, **published})
    problems = stale(found, wanted)
    if problems:
        problems.append("run `civicloom contracts write` and review the difference")
    problems += incompatible_changes(schemas_in(published), schemas_in(wanted))
    for problem in problems:
        typer.echo(problem)
    return int(bool(problems))


def _read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def _published(base: str | None) -> Mapping[str, bytes]:
    """The folder as others rely on it; empty before the first release."""
    if base and Path(base).is_dir():
        return _read(Path(base))
    revision = base or _base_revision()
    if base and _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}") is None:
        raise typer.BadParameter(f"{base} is neither a folder nor a git revision")
    listing = revision and _git("ls-tree", "-r", "--name-only", "-z", revision, "--", "contracts/")
    if not listing:
        return {}
    files = {}
    for path in listing.decode().rstrip("\0").split("\0"):
        content = _git("show", f"{revision}:{path}")
        if content is not None:
            files[path.removeprefix("contracts/")] = content
    return files


def _base_revision() -> str | None:
    """Where this branch left origin/main; on main itself, or without a remote, the commit before this one."""
    head = _git("rev-parse", "HEAD")
    fork = _git("merge-base", "HEAD", "origin/main")
    revision = fork if fork and fork != head else _git("rev-parse", "--verify", "--quiet", "HEAD~1")
    return revision.decode().strip() if revision else None


def _git(*arguments: str) -> bytes | None:
    """What git answers, or None where it has no such thing."""
    import subprocess

    answer = subprocess.run(["git", "-C", str(_REPO), *arguments], capture_output=True, check=False)  # noqa: S603, S607
    return answer.stdout if answer.returncode == 0 else None
