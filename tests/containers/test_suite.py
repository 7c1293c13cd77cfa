"""The integration suite on the public images instead of the embedded pair."""

import os
import subprocess
import sys

import pytest

from tests.containers import engine
from tests.paths import REPO

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not engine.answers(), reason="no Docker engine answers"),
]

# They start the embedded servers themselves, or need no server: nothing here would be another way.
ELSEWHERE = ("pair", "test_one_address.py", "test_signin.py")


def test_the_integration_suite_passes_on_the_public_images() -> None:
    left_out = [
        *(f"--ignore=tests/integration/{name}" for name in ELSEWHERE),
        "--ignore=tests/scenarios/test_run.py",
    ]
    with engine.postgres() as database_url, engine.kafka() as bootstrap:
        servers = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP": bootstrap}
        suite = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/integration",
                "tests/scenarios",
                *left_out,
            ],
            cwd=REPO,
            env=os.environ | servers,
            check=False,
        )
    assert suite.returncode == 0
