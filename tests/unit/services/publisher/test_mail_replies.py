"""The meaning of a refused recipient: an address is gone only if the reply can mean nothing else."""

import pytest

from services.publisher.domain.delivery_results import GiveUp, TryAgain
from services.publisher.domain.mail_replies import BlockedByPolicy, recipient_refused


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown"),
        (550, "5.1.1 No such user\n5.1.1 here"),
        (550, "5.1.2 no such domain"),
        (553, "5.1.3 bad syntax"),
        (551, "5.1.6 moved"),
        (556, "5.1.10 Recipient address has null MX"),
        (550, "5.2.1 disabled"),
        (556, "Domain does not accept mail"),
    ],
)
def test_a_mailbox_that_the_reply_names_as_gone_is_gone(code: int, text: str) -> None:
    assert recipient_refused(code, text) == GiveUp(f"smtp_{code}", gone=True)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (554, "5.7.1 <a@b.example>: Relay access denied"),
        (550, "5.7.1 blocked"),
        (550, "5.7.26 unauthenticated"),
        (530, "Authentication required"),
    ],
)
def test_a_policy_may_be_meant_for_us(code: int, text: str) -> None:
    assert recipient_refused(code, text) == BlockedByPolicy(f"smtp_{code}")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (550, "relay not permitted"),
        (550, "no such user"),
        (551, "we do not relay"),
        (553, "sorry, that domain isn't in my list of allowed rcpthosts"),
        (554, ""),
        (552, "5.2.2 mailbox full"),
        (550, "5.1.11 not a code that means it"),
        (550, "see 5.1.1"),
    ],
)
def test_any_other_refusal_fails_one_mail_and_no_more(code: int, text: str) -> None:
    assert recipient_refused(code, text) == GiveUp(f"smtp_{code}")


def test_a_temporary_refusal_is_tried_again_whatever_it_adds() -> None:
    assert recipient_refused(450, "4.2.1 busy") == TryAgain("smtp_450")
    assert recipient_refused(450, "5.1.1 nonsense") == TryAgain("smtp_450")


def test_500_is_the_first_refusal_that_lasts() -> None:
    assert recipient_refused(499, "") == TryAgain("smtp_499")
    assert recipient_refused(500, "") == GiveUp("smtp_500")


def test_space_before_the_enhanced_code_is_passed_over() -> None:
    assert recipient_refused(550, " 5.1.1 no such user") == GiveUp("smtp_550", gone=True)


@pytest.mark.parametrize("code", [530, 556])
def test_an_enhanced_code_says_more_than_the_code(code: int) -> None:
    assert recipient_refused(code, "5.2.2 full") == GiveUp(f"smtp_{code}")
