"""`civicloom contracts`: the generated files in `contracts/`, and whether a change breaks somebody."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

contracts = typer.Typer(
    name="contracts",
    no_args_is_help=True,
    help="Generate contracts/, find breaking changes and declare what is published.",
)

_REPO = Path(__file__).resolve().parents[2]
_PUBLISHED = "published.json"
"""In the folder itself, so that no clone is too shallow to know it and no later commit makes it forgotten."""

Folder = Annotated[Path, typer.Option(help="The folder of generated files.", file_okay=False)]
Release = Annotated[str, typer.Argument(help="The name of the release, such as 1.0.", show_default=False)]


def register(cli: typer.Typer) -> None:
    cli.add_typer(contracts)


@contracts.command()
def write(*, folder: Folder = _REPO / "contracts") -> None:
    """Generate the folder from the models. An example that is there stays; an unpublished one can be deleted
    to have it made anew, and a published one is put back as it was."""
    wanted = _wanted(folder)
    for path in _read(folder).keys() - wanted.keys():
        (folder / path).unlink()
    for path, content in wanted.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@contracts.command()
def check(*, folder: Folder = _REPO / "contracts") -> int:
    """Exit 1 if the folder is not what the models say, or if a change since the last release breaks a reader
    or a writer."""
    problems = _problems(folder)
    for problem in problems:
        typer.echo(problem)
    return int(bool(problems))


@contracts.command()
def publish(release: Release, *, folder: Folder = _REPO / "contracts") -> int:
    """Declare the folder, as it is, what others rely on from this release on. Exit 1 if `check` would."""
    from shared.contracts.folder import GOLDEN, SCHEMAS

    problems = _problems(folder)
    for problem in problems:
        typer.echo(problem)
    if not problems:
        promised = {
            path: content.decode()
            for path, content in sorted(_read(folder).items())
            if path.startswith((SCHEMAS, GOLDEN))
        }
        _keep(folder, release, promised)
    return int(bool(problems))


def _problems(folder: Path) -> list[str]:
    from shared.contracts.compatibility import incompatible_changes
    from shared.contracts.folder import schemas_in, stale

    wanted = _wanted(folder)
    problems = stale(_read(folder), wanted)
    if problems:
        problems.append("run `civicloom contracts write` and review the difference")
    return problems + incompatible_changes(schemas_in(_published(folder)), schemas_in(wanted))


def _wanted(folder: Path) -> dict[str, bytes]:
    """What the folder should hold. An example of a type that is gone goes too, unless it is published."""
    from shared.contracts.folder import GOLDEN, generated
    from shared.contracts.registry import REGISTRY

    examples = {
        path: content
        for path, content in _read(folder).items()
        if path.startswith(GOLDEN) and _type(path) in REGISTRY
    }
    return generated({**examples, **_published(folder)})


def _type(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json").removesuffix(".words")


def _read(folder: Path) -> dict[str, bytes]:
    """What is generated or was, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / _PUBLISHED
    }


def _published(folder: Path) -> Mapping[str, bytes]:
    """The files that others rely on. Raises typer.BadParameter where nothing says which."""
    kept = folder / _PUBLISHED
    if not kept.is_file():
        raise typer.BadParameter(
            f"{kept} is missing: without it nobody knows what is published. Before the first release it says "
            '{"release": null, "files": {}}'
        )
    return {path: content.encode() for path, content in json.loads(kept.read_bytes())["files"].items()}


def _keep(folder: Path, release: str, files: Mapping[str, str]) -> None:
    content = json.dumps({"release": release, "files": files}, indent=2, ensure_ascii=False)
    (folder / _PUBLISHED).write_text(content + "\n")
