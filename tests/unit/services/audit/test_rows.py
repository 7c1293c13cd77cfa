"""An entry in the words of its reader."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from services.audit.entries import EntryView
from services.audit.http.rows import Rows
from services.audit.log.reset import Reset
from shared.web.pages import Pages
from shared.web.settings import WebSettings

CASE = "01a20c91-a000-7ced-98ed-30f4c4d475b3"
MOMENT = dt.datetime(2026, 11, 24, 18, 30, 5, tzinfo=dt.UTC)
TEXTS = Pages("services.audit").catalogue


def rows(language: str = "en") -> Rows:
    settings = WebSettings(secret_key=SecretStr("00" * 32), language="zh", time_zone="Asia/Shanghai")
    app = SimpleNamespace(state=SimpleNamespace(web=SimpleNamespace(settings=settings)))
    headers = [(b"accept-language", language.encode())]
    return Rows(Request({"type": "http", "app": app, "headers": headers, "query_string": b""}), TEXTS)


def entry(**changes: Any) -> EntryView:
    event_type = changes.pop("type", "civic.case.dispatched.v1")
    members = {"kind": "event", "subject": CASE, "source": "/services/routing", "event": {}} | changes
    return EntryView(index=7, appended=MOMENT, type=event_type, **members)


def test_a_step_of_a_case_has_plain_words_its_number_and_the_local_time() -> None:
    row = rows().row(entry())
    assert row["text"] == "Case assigned to departments"
    assert row["number"].startswith("2026")
    assert row["at"] == "11-25 02:30:05"
    assert row["href"] == f"/oversight?subject={CASE}"
    assert rows("zh").row(entry())["text"] == "派单至承办单位"


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [("civic.publication.drafted.v1", CASE), ("civic.routing.request_refused.v1", "water"), (None, "x/1/2")],
)
def test_what_is_about_no_case_has_no_number(event_type: str | None, subject: str) -> None:
    assert rows().row(entry(type=event_type, subject=subject))["number"] is None


@pytest.mark.parametrize(
    "subject",
    [
        "f1a20c91-a000-4ced-98ed-30f4c4d475b3",  # its first 48 bits, read as a time, are in the year 10389
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "e677d21f-dbff-7ced-98ed-30f4c4d475b3",  # the last millisecond of 9999 in UTC, beyond it in Shanghai
    ],
)
def test_an_id_that_holds_no_time_has_no_number(subject: str) -> None:
    assert rows().row(entry(subject=subject))["number"] is None


def test_a_record_that_is_no_event_says_so() -> None:
    row = rows().row(entry(type=None, kind="unparseable", subject="unparseable/civic.inquiry.v1/0/7"))
    assert row["text"] == "Not an event of this system"
    assert row["href"] == "/oversight?subject=unparseable%2Fcivic.inquiry.v1%2F0%2F7"


def test_a_reset_says_what_may_be_missing() -> None:
    reset = Reset("civic.inquiry.v1", 3, taken=48212, offset=0)
    row = rows().row(entry(type=None, kind="reset", subject=reset.subject, event=None, reset=reset))
    said = "Records may be missing: civic.inquiry.v1/3 was read up to 48212 and is now read again from 0"
    assert row["text"] == said
    assert row["href"] == "/oversight?subject=reset%2Fcivic.inquiry.v1%2F3"
    assert "civic.inquiry.v1/3" in rows("zh").row(entry(type=None, kind="reset", reset=reset))["text"]


def test_an_incident_says_of_what_it_is_another_version() -> None:
    assert "Case assigned" in rows().row(entry(kind="incident"))["text"]
    assert rows().row(entry(kind="incident"))["text"].startswith("Incident: ")


def test_a_type_of_a_newer_release_shows_its_technical_name() -> None:
    assert rows().row(entry(type="civic.ranking.computed.v1"))["text"] == "civic.ranking.computed.v1"
    assert rows().row(entry(type="civic.case.dispatched.v2"))["text"] == "Case assigned to departments"
