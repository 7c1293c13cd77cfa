"""Which words are found, where, and which names are spared."""

from pathlib import Path

import pytest

from checks.words import findings


def found(folder: Path, name: str, text: str, *allowed: str) -> list[str]:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return [line.split("`")[1] for line in findings(folder, allowed)]


@pytest.mark.parametrize(
    "text",
    [
        "Whoever asks",
        "a service is told of it",
        "def _told(): ...",
        "set_aside = 1",
        "written anew",
        "judgements hang on it",
        "what goes before",
        "those of late",
        "read for ever",
        "what nobody needs any more",
    ],
)
def test_a_word_is_found_in_prose_and_in_names(tmp_path: Path, text: str) -> None:
    assert len(found(tmp_path, "some.py", text)) == 1


@pytest.mark.parametrize(
    "text", ["untold", "toldness", "besides", "the hanging onion", "before it goes", "of later"]
)
def test_a_word_inside_another_is_none(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, "some.md", text) == []


def test_a_finding_names_the_place_and_what_to_write_instead(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\techo written anew\n")
    assert list(findings(tmp_path, [])) == ["Makefile:2: `anew`: again, or leave it out"]


def test_a_name_that_must_stay_is_spared_as_a_whole_only(tmp_path: Path) -> None:
    text = "SELECT * FROM outbox_aside; -- aside\nSELECT outbox_asides"
    assert found(tmp_path, "some.sql", text, "outbox_aside") == ["aside"]
    assert found(tmp_path, "some.sql", "SELECT take_aside", "aside") == ["aside"]


def test_of_yaml_only_comments_count(tmp_path: Path) -> None:
    assert found(tmp_path, "some.yaml", "told: whoever  # anew\nurl: http://x#told\n# told\n") == [
        "anew",
        "told",
    ]


@pytest.mark.parametrize(
    "name", ["contracts/some.md", "policies/x/some.py", "services/some/messages/en.yaml"]
)
def test_what_is_published_and_texts_for_people_are_left_alone(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name, "# told") == []
