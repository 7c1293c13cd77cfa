"""The shipped packs, loaded once, and a copy of one to break."""

import shutil
from pathlib import Path

import pytest

from shared.policy.loader import load_pack
from shared.policy.model import Pack
from tests.paths import REPO

POLICIES = REPO / "policies"


@pytest.fixture(scope="session")
def cn_city() -> Pack:
    return load_pack(POLICIES / "cn-city")


@pytest.fixture(scope="session")
def us_city() -> Pack:
    return load_pack(POLICIES / "us-city")


@pytest.fixture(scope="session")
def nl_city() -> Pack:
    return load_pack(POLICIES / "nl-city")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of `nl-city` that a test may break."""
    return Path(shutil.copytree(POLICIES / "nl-city", tmp_path / "nl-city"))
