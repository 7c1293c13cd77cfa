"""What others rely on: declared with a release, kept in the folder, not forgotten by later commits."""

import json
import shutil
from pathlib import Path

import pytest

from services import cli

TYPE = "civic.inquiry.received.v1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the models say, before the first release. No test changes it."""
    made = tmp_path_factory.mktemp("written")
    (made / "published.json").write_text('{"release": null, "files": {}}')
    assert run("write", made) == 0
    return made


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return shutil.copytree(written, tmp_path / "contracts")


def run(command: str, folder: Path, *more: str) -> int:
    return cli.main(["contracts", command, *more, "--folder", str(folder)])


def add_a_field_that_is_gone_today(folder: Path) -> None:
    """To what is published."""
    kept = folder / "published.json"
    content = json.loads(kept.read_text())
    schema = json.loads(content["files"][f"schemas/{TYPE}.json"])
    schema["$defs"]["InquiryReceived"]["properties"]["lane"] = {"type": "string"}
    content["files"][f"schemas/{TYPE}.json"] = json.dumps(schema)
    kept.write_text(json.dumps(content))


@pytest.mark.parametrize("command", ["write", "check", "publish"])
def test_where_nothing_says_what_is_published_it_is_an_error(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "published.json").unlink()
    assert run(command, folder, *(["1"] if command == "publish" else [])) == 2
    assert "without it nobody knows what is published" in capsys.readouterr().err


def test_before_the_first_release_every_change_is_free(folder: Path) -> None:
    example = folder / "golden" / f"{TYPE}.json"
    example.write_bytes(example.read_bytes().replace(b"riverside", b"hillside"))
    assert run("check", folder) == 0


def test_what_is_published_is_the_folder_as_it_was(folder: Path) -> None:
    assert run("publish", folder, "1") == 0
    content = json.loads((folder / "published.json").read_text())
    assert content["release"] == "1"
    for path, text in content["files"].items():
        assert (folder / path).read_text() == text
    assert f"schemas/{TYPE}.json" in content["files"]
    assert f"golden/{TYPE}.words.json" in content["files"]
    assert run("check", folder) == 0


def test_a_breaking_change_stays_one_however_often_the_folder_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("publish", folder, "1") == 0
    add_a_field_that_is_gone_today(folder)
    for _ in range(2):
        assert run("check", folder) == 1
        assert capsys.readouterr().out == f"{TYPE}: data.lane was removed or renamed\n"
        assert run("write", folder) == 0


def test_a_breaking_change_cannot_be_published(folder: Path) -> None:
    assert run("publish", folder, "1") == 0
    add_a_field_that_is_gone_today(folder)
    before = (folder / "published.json").read_text()
    assert run("publish", folder, "2") == 1
    assert (folder / "published.json").read_text() == before


def test_an_example_stays_as_it_was_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = folder / "golden" / f"{TYPE}.json"
    example.write_bytes(example.read_bytes().replace(b"riverside", b"hillside"))
    assert run("publish", folder, "1") == 0
    promised = example.read_bytes()
    example.write_text("{}\n")
    assert run("check", folder) == 1
    assert f"golden/{TYPE}.json: was published and must not change" in capsys.readouterr().out
    assert run("write", folder) == 0
    assert example.read_bytes() == promised


def test_an_unpublished_example_stays_while_its_type_does(folder: Path) -> None:
    example = folder / "golden" / f"{TYPE}.json"
    written_by_hand = example.read_bytes().replace(b"riverside", b"hillside")
    example.write_bytes(written_by_hand)
    forgotten = folder / "golden" / "civic.inquiry.forgotten.v1.json"
    forgotten.write_text("{}\n")
    assert run("check", folder) == 1
    assert run("write", folder) == 0
    assert example.read_bytes() == written_by_hand
    assert not forgotten.exists()
