"""Settings: one base for all services, read from the environment, with secrets that are never printed."""

import runpy

import pytest
from pydantic import SecretStr, ValidationError

from services.audit.config import AuditSettings
from services.inquiry.config import InquirySettings
from services.publisher.config import PublisherSettings
from shared.settings import CoreSettings, describe_fault, with_user
from shared.web.settings import WebSettings

SECRET = "5e" * 32


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return monkeypatch


@pytest.mark.parametrize("kind", [CoreSettings, PublisherSettings, InquirySettings, AuditSettings])
def test_every_class_is_read_the_same_way(kind: type[CoreSettings], environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PUBLIC_URL", "https://city.example/")
    environment.setenv("KAFKA_PLAINTEXT", "yes")
    environment.setenv("PORT", "9000")
    environment.setenv("AUDIT_PORT", "9004")
    settings = kind.for_service("audit")
    assert isinstance(settings, kind)
    assert (settings.service, settings.port, settings.public_url) == ("audit", 9004, "https://city.example")
    assert kind.for_service("inquiry").port == 9000


def test_secrets_are_never_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgres://postgres:hidden-database@db:5432/civicloom")
    environment.setenv("OIDC_CLIENT_SECRET", "hidden-client")
    environment.setenv("SMTP_URL", "smtp://user:hidden-mail@mail.example:25")
    shown = repr(PublisherSettings.for_service("publisher"))
    assert SECRET not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SECRET_KEY", "5e" * 31, "setting SECRET_KEY: SECRET_KEY must be at least 32 bytes of hex"),
        ("SECRET_KEY", "not hex" * 10, "setting SECRET_KEY: SECRET_KEY must be at least 32 bytes of hex"),
        ("PUBLIC_URL", "city.example", "setting PUBLIC_URL: PUBLIC_URL must begin with http:// or https://"),
        ("PORT", "eighty", "setting PORT: Input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence_without_its_value(
    environment: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        CoreSettings.for_service("inquiry")
    assert describe_fault(caught.value).startswith(reason)
    assert value not in describe_fault(caught.value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("service", ["publisher", "inquiry", "routing", "audit"])
def test_a_service_with_a_wrong_setting_exits_2_with_a_sentence(
    service: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `python -m` runs it, but in this process: an interpreter of its own would import all that again."""
    environment.setenv("SECRET_KEY", "00")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == (
        f"{service}: setting SECRET_KEY: SECRET_KEY must be at least 32 bytes of hex:"
        " make one with `openssl rand -hex 32`"
    )


def test_keys_differ_by_purpose_and_by_secret() -> None:
    one, other = CoreSettings(secret_key=SecretStr(SECRET)), CoreSettings(secret_key=SecretStr("00" * 32))
    assert len({one.key("a"), one.key("b"), other.key("a")}) == 3
    assert len(one.key("a")) == 32


def test_the_web_edge_takes_everything_from_the_service_but_language_and_zone(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("LANGUAGE", "de_DE:en")
    environment.setenv("TIME_ZONE", "nowhere")
    environment.setenv("OIDC_ISSUER", "https://id.example")
    settings = CoreSettings.for_service("inquiry")
    web = WebSettings.of(settings, language="en", time_zone="Europe/Amsterdam")
    assert (web.language, web.time_zone, web.oidc_issuer) == ("en", "Europe/Amsterdam", "https://id.example")
    assert web.key("session") == settings.key("session")


def test_a_service_uses_its_own_database_role_unless_its_url_names_one(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DATABASE_URL", "postgres://admin:pw@db:5432/civic")
    url = CoreSettings.for_service("routing").service_database_url
    assert url == "postgres://routing:pw@db:5432/civic"
    environment.setenv("ROUTING_DATABASE_URL", "postgres://other@db/civic")
    assert CoreSettings.for_service("routing").service_database_url == "postgres://other@db/civic"


def test_another_role_keeps_the_password_unless_it_has_its_own() -> None:
    assert with_user("postgres://a:p@h/d", "b") == "postgres://b:p@h/d"
    assert with_user("postgres://a:p@h/d", "b", "q") == "postgres://b:q@h/d"
    assert with_user("postgres://h/d", "b") == "postgres://b@h/d"
