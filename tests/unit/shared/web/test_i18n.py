"""The reader's language by RFC 9110, and texts by key."""

import pytest

from shared.web.i18n import MessageCatalogue, accepted_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("fr, de", None),
        ("en", "en"),
        ("EN-gb", "en"),
        ("zh-Hant-TW", "zh"),
        ("fr, en;q=0.8, zh;q=0.1", "en"),
        ("en;q=0.1, zh;q=0.8", "zh"),
        ("en, zh", "en"),
        ("zh;q=0.5, en;q=0.5", "zh"),
        ("en ; q=0.2 , zh ;\tQ=0.3", "zh"),
        ("zh;q=0, en;q=0.001", "en"),
        ("zh;q=0", None),
        ("*", "zh"),
        ("fr, *;q=0.5", "zh"),
        ("*;q=0.5, en", "en"),
        ("en;q=0.2, *;q=0.5", "zh"),
        ("*, zh;q=0", "en"),
        ("*;q=0", None),
        ("en;q=2, zh;q=0.1", "zh"),
        ("en;q=x, zh;q=0.1", "zh"),
        ("english-is-not-a-range-of-eight, zh;q=0.1", "zh"),
        (", ,;,en", "en"),
        ("fr," * 20 + "en", None),
    ],
)
def test_the_language_of_the_highest_weight_is_accepted(header: str, language: str | None) -> None:
    assert accepted_language(header, "zh") == language


def test_an_asterisk_means_first_the_language_of_the_installation() -> None:
    assert accepted_language("fr, *;q=0.5", "en") == "en"


def test_a_text_that_is_missing_shows_as_its_key() -> None:
    catalogue = MessageCatalogue.load()
    assert catalogue.text("en", "no.such.key") == "no.such.key"
    assert catalogue.text("en", "time.hours", count=1) == "1 hour"
    assert catalogue.text("en", "time.hours", count=2) == "2 hours"
