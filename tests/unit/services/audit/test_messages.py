"""Oversight reads every type of event in plain words."""

import re

from services.audit.http.rows import event_key
from shared.contracts.registry import REGISTRY
from shared.web.i18n import LANGUAGES
from shared.web.pages import Pages

TEXTS = Pages("services.audit").catalogue


def test_every_registered_type_has_a_text_in_both_languages() -> None:
    assert [name for name in REGISTRY if not TEXTS.has(event_key(name))] == []


def test_no_two_types_read_alike() -> None:
    for language in LANGUAGES:
        texts = [TEXTS.text(language, event_key(name)) for name in REGISTRY]
        assert len(set(texts)) == len(texts)


def test_no_text_is_left_over_from_a_type_that_is_gone() -> None:
    keys = {key for key in TEXTS.keys("en") if re.match(r"event\.", key)}
    assert keys == {event_key(name) for name in REGISTRY}
