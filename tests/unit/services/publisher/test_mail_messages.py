"""Mails say what happened in plain words, without persons or the text of the case."""

import dataclasses
import datetime as dt
import re
from email import message_from_bytes
from email.policy import SMTP, default
from zoneinfo import ZoneInfo

import pytest

from services.publisher.domain.notices import STEPS
from services.publisher.push import mail_messages
from services.publisher.push.mail_messages import MailHeader, MailSettings
from services.publisher.queries.recipients import PushedVersion
from shared.web.pages import Pages

MOMENT = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
NUMBER = "20261124-7K3M9Q2XWB-F"
DELIVERY = "01a20b2c-89f0-8f01-8a2b-3c4d5e6f7081"
SHOWN = PushedVersion(
    id="p-1",
    version=1,
    published_at=MOMENT,
    public_changed_at=MOMENT,
    title="水费\r\nBcc: x@example.org",
    summary="S",
    topics=[],
    document_number=None,
    effective_from=None,
)


@pytest.fixture(scope="module")
def mail_settings() -> MailSettings:
    texts = Pages("services.publisher").catalogue
    return MailSettings("https://city.example", "noreply@city.example", ZoneInfo("Asia/Shanghai"), texts)


def header(language: str | None = "zh") -> MailHeader:
    return MailHeader(DELIVERY, MOMENT, "resident@example.org", language)


@pytest.mark.parametrize("language", ["zh", "en", "nl", None])
@pytest.mark.parametrize("step", STEPS)
def test_a_notice_has_number_time_and_link_in_the_readers_language(
    mail_settings: MailSettings, step: str, language: str | None
) -> None:
    raw = mail_messages.notice(mail_settings, header(language), step, NUMBER).as_bytes()
    read = message_from_bytes(raw, policy=default)
    body = read.get_content()
    assert NUMBER in body
    assert f"https://city.example/track?number={NUMBER}" in body
    assert ("2026年11月24日 09:30" if language == "zh" else "24 November 2026, 09:30") in body
    assert "mail.step" not in body
    assert "mail.step" not in read["Subject"]
    assert read["Message-ID"] == f"<{DELIVERY}@city.example>"
    assert read["Auto-Submitted"] == "auto-generated"
    assert "{" not in body


def test_a_publication_mail_can_be_left_with_one_click_as_rfc_8058_says(mail_settings: MailSettings) -> None:
    message = mail_messages.publication(
        mail_settings, header(), SHOWN, "https://city.example/subscribe/leave/s/t"
    )
    read = message_from_bytes(message.as_bytes(policy=SMTP), policy=default)
    assert read["List-Unsubscribe"] == "<https://city.example/subscribe/leave/s/t>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "https://city.example/policies/p-1" in read.get_content()


LEAVE = f"https://participation.city.example/subscribe/leave/{DELIVERY}/k3v9Qm2ZpR7sT1uX8yB4cA"


def test_the_unsubscribe_link_is_sent_unencoded(mail_settings: MailSettings) -> None:
    raw = mail_messages.publication(mail_settings, header(), SHOWN, LEAVE).as_bytes()
    assert f"\r\nList-Unsubscribe: <{LEAVE}>\r\n".encode() in raw


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_mail_is_seven_bit_in_lines_that_every_server_takes(
    mail_settings: MailSettings, language: str
) -> None:
    shown = dataclasses.replace(
        SHOWN,
        title="关于调整供水价格的通知" * 18,
        summary="自明年一月起，居民用水价格不变。" * 60,
    )
    to = MailHeader(DELIVERY, MOMENT, f"{'r' * 64}@{'d' * 60}.{'e' * 60}.example", language)
    raw = mail_messages.publication(mail_settings, to, shown, LEAVE).as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    words = re.findall(rb"=\?[^? ]+\?[bq]\?[^? ]*\?=", raw)
    assert words
    assert max(len(word) for word in words) <= 75  # RFC 2047 2
    read = message_from_bytes(raw, policy=default)
    assert shown.title[:140] in read["Subject"]
    assert shown.summary in read.get_content()
    assert read["To"].addresses[0].addr_spec == to.to


def test_a_title_of_several_lines_adds_no_header(mail_settings: MailSettings) -> None:
    message = mail_messages.publication(mail_settings, header(), SHOWN, "https://city.example/l")
    read = message_from_bytes(message.as_bytes(), policy=default)
    assert read["Bcc"] is None
    assert read["Subject"] == "新发布：水费 Bcc: x@example.org"
