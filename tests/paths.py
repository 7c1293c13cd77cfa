"""Where tests find things outside themselves."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CIVICLOOM_SHARED", REPO / ".." / "shared"))


def needed(file: Path) -> Path:
    """The file, if the folder of public sample data lies where it is looked for.

    A stranger without it skips the test; in CI that would hide something, so there it fails.
    """
    if not SHARED.is_dir():
        reason = f"the public sample data are not in {SHARED}: CIVICLOOM_SHARED names another folder"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return file
