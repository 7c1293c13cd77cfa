"""What the levels of visibility are called: the same to who chooses one and to who works with it."""

from typing import get_args

import pytest

from shared.contracts.inquiry import Visibility
from shared.web.i18n import LANGUAGES, MessageCatalogue
from tests.paths import REPO


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("level", get_args(Visibility))
def test_the_desk_says_of_a_level_what_the_citizen_reads(level: str, language: str) -> None:
    inquiry, routing = (
        MessageCatalogue.load([REPO / "services" / name / "pages" / "messages"])
        for name in ("inquiry", "routing")
    )
    for ending in ("", ".effect"):
        shown = inquiry.template(language, f"visibility.{level}{ending}")
        assert routing.template(language, f"case.visibility.{level}{ending}") == shown
