"""API keys are read from a file of hashes, each with a name, scopes and perhaps a unit."""

import datetime as dt
import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.web.api_keys import ApiKeys, Machine

ONE, OTHER = (hashlib.sha256(key).hexdigest() for key in (b"one", b"other"))


def load(folder: Path, text: str) -> ApiKeys:
    path = folder / "keys.yaml"
    path.write_text(text)
    return ApiKeys.load(path)


def test_a_key_is_found_by_its_hash(tmp_path: Path) -> None:
    keys = load(tmp_path, f"- {{name: backend, sha256: {ONE}, scopes: [cases.write], unit: water}}\n")
    machine = Machine("backend", frozenset({"cases.write"}), "water")
    assert keys.machine("one") == machine
    assert machine.actor == "machine:backend"
    assert keys.machine("other") is None
    assert keys.machine("\ud800") is None


@pytest.mark.parametrize(
    "moment", ["2027-06-30T18:00:00+08:00", "2027-06-30T10:00:00Z", "'2027-06-30 10:00Z'"]
)
def test_a_key_says_when_it_ends(tmp_path: Path, moment: str) -> None:
    keys = load(tmp_path, f"- {{name: backend, sha256: {ONE}, scopes: [], not_after: {moment}}}\n")
    machine = keys.machine("one")
    assert machine is not None
    assert machine.not_after == dt.datetime(2027, 6, 30, 10, tzinfo=dt.UTC)


def test_without_a_file_or_with_an_empty_one_there_are_no_keys(tmp_path: Path) -> None:
    assert ApiKeys.load(None).machine("one") is None
    assert load(tmp_path, "").machine("one") is None


@pytest.mark.parametrize("second", [f"{{name: a, sha256: {OTHER}", f"{{name: b, sha256: {ONE}"])
def test_a_name_or_key_that_occurs_twice_is_refused(tmp_path: Path, second: str) -> None:
    text = f"- {{name: a, sha256: {ONE}, scopes: []}}\n- {second}, scopes: []}}\n"
    with pytest.raises(ValueError, match="occur only once"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "record",
    [
        f"{{name: A, sha256: {ONE}, scopes: []}}",
        "{name: a, sha256: secret, scopes: []}",
        f"{{name: a, sha256: {ONE}, scopes: ['*']}}",
        f"{{name: a, sha256: {ONE}, scopes: [], key: one}}",
        # When it is midnight, the file has to say.
        f"{{name: a, sha256: {ONE}, scopes: [], not_after: 2027-06-30}}",
        f"{{name: a, sha256: {ONE}, scopes: [], not_after: 2027-06-30T18:00:00}}",
        f"{{name: a, sha256: {ONE}, scopes: [], not_after: soon}}",
    ],
)
def test_a_malformed_record_is_refused(tmp_path: Path, record: str) -> None:
    with pytest.raises(ValidationError):
        load(tmp_path, f"- {record}\n")
