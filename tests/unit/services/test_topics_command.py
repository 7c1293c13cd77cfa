"""`civicloom topics grow`: nonsense ends with a sentence before any server is asked."""

import pytest

from services import cli

NOWHERE = ["--bootstrap", "127.0.0.1:1", "--timeout", "1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["civic.inquiry.v1"], "say how many, or --abort"),
        (["civic.inquiry.v1", "8", "--abort"], "say how many, or --abort"),
        (["civic.inquiry.v1", "many"], "'partitions': Input should be a valid integer"),
        (["civic.inquiry.v1", "1"], "greater than or equal to 2"),
        (["civic.inquiry.v1", "10001"], "less than or equal to 10000"),
        (["civic.inquiry.v1", "8", "--timeout", "0"], "greater than or equal to 1"),
        (["civic.inquiry.v2", "8"], "civic.inquiry.v2 is none of civic.audit.v1, civic.contact.v1"),
        (["other.department.parks.v1", "8"], "no unit's topic"),
        (["civic.department.parks.actions.v1", "2"], "the unit's own system writes this topic"),
        (["", "2"], "no unit's topic"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["topics", "grow", *NOWHERE, *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["topics", "grow", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--abort" in said
    assert "while the services run" in said
