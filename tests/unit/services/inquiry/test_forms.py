"""The forms of a citizen: every error has a message, in the order of the page."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

import services.inquiry.http
from services.inquiry.http.bodies import AskForm, ErasureForm, EvaluationForm, ReopenForm, TrackForm
from shared.web.i18n import LANGUAGES, MessageCatalogue

PAGES = Path(services.inquiry.http.__file__).parents[1] / "pages"
FORMS = (AskForm, TrackForm, EvaluationForm, ReopenForm, ErasureForm)
HIDDEN = "idempotency_key"


def _errors(form: type[BaseModel], typed: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        form.model_validate(typed)
    found = [(str(error["loc"][0]), error["type"]) for error in caught.value.errors()]
    return [error for error in found if error[0] != HIDDEN]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_field_left_empty_is_named_in_its_error(form: type[BaseModel]) -> None:
    catalogue = MessageCatalogue.load([PAGES / "messages"])
    missing = _errors(form, {})
    assert missing
    assert [field for field, code in missing if not catalogue.has(f"form.{field}.{code}")] == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_text_that_is_too_long_is_reported_with_its_limit(form: type[BaseModel]) -> None:
    catalogue = MessageCatalogue.load([PAGES / "messages"])
    for field, code in _errors(form, dict.fromkeys(form.model_fields, "x" * 30_000)):
        if "too_long" not in code:
            continue
        keys = [key for key in (f"form.{field}.{code}", f"form.error.{code}") if catalogue.has(key)]
        assert keys, (field, code)
        assert all("{max_length}" in catalogue.template(language, keys[0]) for language in LANGUAGES)


def test_the_errors_of_a_concern_follow_the_page_from_top_to_bottom() -> None:
    page = (PAGES / "ask.html").read_text("utf-8")
    places = {
        name: match.start()
        for name in AskForm.model_fields
        if (match := re.search(rf'(?:ui\.\w+\(|id=)"{name}"', page))
    }
    assert set(places) == set(AskForm.model_fields) - {HIDDEN}
    assert list(places.values()) == sorted(places.values())
