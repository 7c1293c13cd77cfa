"""The release before, out of the git history, to run beside today's on the same environment of packages."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.paths import REPO

TAG = "core-before-2026-12"
COMMIT = "2cde141c9551dc706980b7730d98ec79303bd48a"
"""What TAG names; the commit counts, since a clone may lack the tag."""


class NoHistory(Exception):
    """The commit is not in this copy of the repository."""


def check_out(folder: Path, repository: Path = REPO) -> Path:
    """Writes the files of the release before into a folder, and returns it. Raises NoHistory."""
    done = subprocess.run(["git", "archive", COMMIT], cwd=repository, capture_output=True, check=False)
    if done.returncode != 0:
        raise NoHistory(
            f"the release before ({TAG}, commit {COMMIT}) is not in the history of {repository}: "
            f"fetch the whole history (git fetch --unshallow); git says: {done.stderr.decode().strip()}"
        )
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
