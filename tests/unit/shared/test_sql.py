"""Named SQL statements."""

from importlib import resources
from pathlib import Path

import pytest

from shared import sql


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(sql, "files", lambda _: tmp_path)
    return f"package.at{tmp_path}"


def test_statements_are_found_by_name_without_their_semicolon(tmp_path: Path, package: str) -> None:
    (tmp_path / "queries.sql").write_text(
        "-- name: one\n-- why\nSELECT 1;\n\n-- name: two\nSELECT ';'\nFROM t;\n", encoding="utf-8"
    )
    assert sql.load(package) == {"one": "-- why\nSELECT 1", "two": "SELECT ';'\nFROM t"}


def test_a_name_that_is_defined_twice_is_refused(tmp_path: Path, package: str) -> None:
    (tmp_path / "queries.sql").write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="the query one is defined twice"):
        sql.load(package)


@pytest.mark.parametrize("folder", ["unit_of_work", "outbox", "inbox"])
def test_every_statement_of_the_core_is_a_single_one(folder: str) -> None:
    for name, statement in sql.load(f"shared.{folder}").items():
        code = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        assert code.strip(), name
        assert ";" not in code, name
