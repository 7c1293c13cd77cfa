"""The decision on a notice about a step, from what is known of the case so far."""

import itertools

import pytest
import yaml

from services.publisher.domain.notices import LANES, STEPS, NoticeDecision, decide_notice
from shared.contracts.registry import REGISTRY
from shared.web.i18n import LANGUAGES
from tests.paths import REPO


@pytest.mark.parametrize(
    ("announced", "wanted", "stated", "reachable", "decision"),
    [
        (True, None, False, False, "keep"),
        (True, None, True, True, "keep"),
        (False, None, False, False, "none"),
        (True, False, False, False, "none"),
        (True, False, True, True, "none"),
        (True, True, False, False, "wait"),
        (True, True, True, True, "send"),
        (True, True, True, False, "none"),
    ],
)
def test_a_missing_part_is_a_state(
    announced: bool, wanted: bool | None, stated: bool, reachable: bool, decision: NoticeDecision
) -> None:
    assert (
        decide_notice(announced=announced, wanted=wanted, stated=stated, reachable=reachable, erased=False)
        == decision
    )


def test_an_erased_case_gets_no_notice_whatever_else_is_known() -> None:
    for announced, wanted, stated, reachable in itertools.product(
        (False, True), (None, False, True), (False, True), (False, True)
    ):
        decision = decide_notice(
            announced=announced, wanted=wanted, stated=stated, reachable=reachable, erased=True
        )
        assert decision == "none"


def test_every_step_is_an_event_of_the_contract_and_has_its_texts_in_every_language() -> None:
    for language in LANGUAGES:
        messages = REPO / "services" / "publisher" / "pages" / "messages" / f"{language}.yaml"
        texts = yaml.safe_load(messages.read_text("utf-8"))
        for step in STEPS:
            assert f"civic.{step}.v1" in REGISTRY
            assert f"mail.step.{step}.subject" in texts
            assert f"mail.step.{step}.text" in texts


def test_both_languages_have_the_same_texts() -> None:
    folder = REPO / "services" / "publisher" / "pages" / "messages"
    zh, en = (
        set(yaml.safe_load((folder / f"{language}.yaml").read_text("utf-8"))) for language in ("zh", "en")
    )
    assert zh == en


def test_a_citizen_is_notified_of_these_steps() -> None:
    assert set(STEPS) == {
        *("inquiry.received", "inquiry.accepted", "inquiry.replied", "inquiry.deadline_breached"),
        *("inquiry.reopened", "inquiry.closed", "case.dispatched", "assignment.signed"),
    }
    assert set(LANES) == {"email", "webhook"}
