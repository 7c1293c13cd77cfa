"""Which files a check looks at."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
_NOT_OURS = frozenset({".venv", ".cache", ".data", ".git", "build"})


def tracked(root: Path, *patterns: str) -> Iterator[Path]:
    """The files of the repository at `root` that match a pattern (`*.py`), sorted, relative to `root`.

    New files that git does not ignore count too: they are about to be committed. Without git, or outside a
    repository, every file below `root` counts, apart from what `make` puts there.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, check=True)  # noqa: S603
        names = [Path(name) for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(root) for path in root.rglob("*")]
    yield from sorted(
        name
        for name in names
        if any(name.match(pattern) for pattern in patterns)
        and name.parts[0] not in _NOT_OURS
        and (root / name).is_file()
    )
