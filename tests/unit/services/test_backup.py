"""A backup that is incomplete, damaged or not ours is refused with a sentence."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from services.backup import MANIFEST, BackupUnusable, Manifest, back_up, check
from services.postgres_tools import ToolFailed


def written(folder: Path, **changes: object) -> Path:
    manifest = Manifest(1, "", "", "18.1", "", {}, 0)
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest) | changes))
    return folder


def test_a_folder_without_a_manifest_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="no complete backup"):
        check(tmp_path)


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"other bytes")
    with pytest.raises(BackupUnusable, match="x is missing or damaged"):
        check(written(tmp_path, files={"x": "00"}))


def test_another_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="another release"):
        check(written(tmp_path, version=2))


def test_what_is_no_dump_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("CREATE TABLE aggregate")
    with pytest.raises(BackupUnusable, match="pg_dump -Fc"):
        check(written(tmp_path, dumps={"d": ["inquiry"]}))


def test_a_dump_that_ends_early_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"PGDMP")
    with pytest.raises(ToolFailed, match="pg_restore"):
        check(written(tmp_path, dumps={"d": ["inquiry"]}))


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="exists already"):
        back_up(tmp_path)
