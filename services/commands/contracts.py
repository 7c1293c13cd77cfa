"""`civicloom contracts`: the generated files in `contracts/`, and changes that break readers or writers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from services.environment import REPOSITORY

contracts = typer.Typer(
    name="contracts",
    no_args_is_help=True,
    help="Generate and check the published contracts.",
)

_PUBLISHED = "published.json"
"""A file of the folder, not a tag: a shallow clone has it too."""

Folder = Annotated[Path, typer.Option(help="The folder of generated files.", file_okay=False)]
Release = Annotated[str, typer.Argument(help="The name of the release, such as 1.0.", show_default=False)]


def register(cli: typer.Typer) -> None:
    cli.add_typer(contracts)


@contracts.command()
def write(*, folder: Folder = REPOSITORY / "contracts") -> None:
    """Generate the folder from the models.

    Existing examples are kept. Delete an unpublished one to generate it again; published ones are restored.
    """
    wanted = _wanted(folder)
    for path in _read(folder).keys() - wanted.keys():
        (folder / path).unlink()
    for path, content in wanted.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@contracts.command()
def check(*, folder: Folder = REPOSITORY / "contracts") -> int:
    """Check the folder against the models.

    Exits 1 if the folder is out of date, or if a change since the last release breaks readers or writers.
    """
    problems = _problems(folder)
    for problem in problems:
        typer.echo(problem)
    return int(bool(problems))


@contracts.command()
def publish(release: Release, *, folder: Folder = REPOSITORY / "contracts") -> int:
    """Declare the folder published, as a release.

    From then on `check` reports every change that breaks its readers or writers. Exits 1 and publishes
    nothing if `check` would fail.
    """
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
    """The contents that the folder should have. Examples of removed types go, unless they are published."""
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
    """The files of the folder by path, without the record of what is published."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / _PUBLISHED
    }


def _published(folder: Path) -> Mapping[str, bytes]:
    """The published files by path. Raises typer.BadParameter if there is no record of them."""
    kept = folder / _PUBLISHED
    if not kept.is_file():
        raise typer.BadParameter(
            f"{kept} is missing: without it nobody knows what is published. Before the first release "
            'it contains {"release": null, "files": {}}'
        )
    return {path: content.encode() for path, content in json.loads(kept.read_bytes())["files"].items()}


def _keep(folder: Path, release: str, files: Mapping[str, str]) -> None:
    content = json.dumps({"release": release, "files": files}, indent=2, ensure_ascii=False)
    (folder / _PUBLISHED).write_text(content + "\n")
