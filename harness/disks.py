"""File systems of their own for folders, which can be made full and get their space back.

Each is a tmpfs, whose limit is set to what is used to make it full: nothing is written for it. Mounting needs
the right to do so (root, and CAP_SYS_ADMIN in a container).
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "8g"  # a limit, not an allocation


class Disk:
    """A mounted file system. `fill` leaves no block free, until `free` gives all the space back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leaves no block free; what is written or deleted meanwhile only makes it try again.

        Space that is freed later is there for others: call it again to keep the disk full. Raises OSError.
        """
        for _ in range(50):
            space = os.statvfs(self.folder)
            used = (space.f_blocks - space.f_bfree) * space.f_frsize
            if self._resize(str(used)):  # refused where more is used by now
                return
        raise OSError(f"{self.folder} could not be filled")

    def free(self) -> None:
        """Gives the space back. Raises OSError."""
        if not self._resize(_SIZE):
            raise OSError(f"{self.folder} stays full")

    def _resize(self, size: str) -> bool:
        return _done("mount", "-o", f"remount,size={size}", self.folder)


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A disk of its own for a folder, which is made if it is not there; unmounted at the end.

    Raises OSError if this process may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Others pass through it, as PostgreSQL's account does.
    if not _done("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0711", "tmpfs", folder):
        raise OSError(f"no right to mount a file system at {folder}")
    try:
        yield Disk(folder)
    finally:
        # Lazily: a process that was killed may hold it for another moment.
        _done("umount", "--lazy", folder)


def may_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with disk(Path(folder)):
                return True
        except OSError:
            return False


def _done(program: str, *arguments: str | Path) -> bool:
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
