"""The way to the brokers as every client takes it, from settings that may be wrong."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from shared.kafka.client import KafkaError
from shared.kafka_access import AccessInvalid, KafkaAccess
from shared.settings import CoreSettings, KafkaSettings, describe_fault
from tests.certificates import Certificate, self_signed

SECRET_KEY = "5e" * 32


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    return monkeypatch


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return self_signed(tmp_path, "kafka.example")


def test_without_more_than_an_address_nobody_says_who_it_is() -> None:
    assert KafkaAccess("one:9092,two:9092").options() == {
        "bootstrap_servers": "one:9092,two:9092",
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_password_is_read_for_each_client(tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "password"
    access = KafkaAccess("b:1", protocol, username="水务", password_file=file)
    for written, read in (("first", "first"), ("second\n", "second"), ("pass word \r\n", "pass word ")):
        file.write_text(written, newline="")
        options = access.options()
        assert options["sasl_plain_password"] == read
        assert (options["sasl_plain_username"], options["sasl_mechanism"]) == ("水务", "SCRAM-SHA-512")
        assert ("ssl_context" in options) == (protocol == "SASL_SSL")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\r\n", "is empty"),
        (b"one\ntwo", "has more than one line"),
        (b"one\n\n", "has more than one line"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8 text"),
    ],
)
def test_a_bad_password_file_is_one_sentence(tmp_path: Path, content: bytes | None, fault: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    access = KafkaAccess("b:1", "SASL_PLAINTEXT", username="water", password_file=file)
    with pytest.raises(AccessInvalid) as caught:
        access.options()
    assert str(caught.value) == f"KAFKA_PASSWORD_FILE: {file} {fault}"
    assert isinstance(caught.value, KafkaError)  # so a client that meets it tries again


def test_a_folder_is_no_password_file(tmp_path: Path) -> None:
    access = KafkaAccess("b:1", "SASL_PLAINTEXT", username="water", password_file=tmp_path)
    with pytest.raises(AccessInvalid, match="cannot be read: Is a directory"):
        access.options()


def test_certificates_are_those_of_the_files(certificate: Certificate) -> None:
    access = KafkaAccess(
        "b:1", "SSL", ca_file=certificate.file, certificate_file=certificate.file, key_file=certificate.key
    )
    context = access.options()["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert [one["subject"] for one in context.get_ca_certs()] == [((("commonName", "kafka.example"),),)]


@pytest.mark.parametrize("setting", ["KAFKA_CA_FILE", "KAFKA_CERTIFICATE_FILE", "KAFKA_KEY_FILE"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
def test_a_bad_certificate_file_is_one_sentence(
    certificate: Certificate, tmp_path: Path, setting: str, content: bytes | None
) -> None:
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_bytes(content)
    files = {"ca_file": certificate.file, "certificate_file": certificate.file, "key_file": certificate.key}
    files[setting.removeprefix("KAFKA_").lower()] = bad
    with pytest.raises(AccessInvalid, match=r"^KAFKA_\w+_FILE: .*(cannot be read|holds no)") as caught:
        KafkaAccess("b:1", "SSL", **files).options()
    assert "\n" not in str(caught.value)


def test_a_key_that_needs_a_password_asks_nobody(certificate: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(AccessInvalid, match="KAFKA_CERTIFICATE_FILE"):
        KafkaAccess("b:1", "SSL", certificate_file=certificate.file, key_file=locked).options()


def test_who_prints_it_learns_no_password() -> None:
    access = KafkaAccess("b:1", "SASL_SSL", username="water", password="hidden")
    assert "hidden" not in f"{access} {access!r} {[access]}"
    assert repr(access) == "SASL_SSL://water@b:1"


def test_another_process_gets_the_same_access(
    certificate: Certificate, environment: pytest.MonkeyPatch
) -> None:
    access = KafkaAccess("b:1,c:2", "SASL_SSL", "SCRAM-SHA-256", "water", "word", ca_file=certificate.file)
    for name, value in access.environment().items():
        environment.setenv(name, value)
    assert KafkaSettings().kafka == access
    assert CoreSettings.for_service("routing").kafka == access
    assert KafkaAccess("b:1").environment() == {"KAFKA_BOOTSTRAP": "b:1"}


def test_a_service_has_a_user_of_its_own(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "routing"
    file.write_text("own")
    environment.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    environment.setenv("KAFKA_USERNAME", "operator")
    environment.setenv("KAFKA_PASSWORD", "all")
    environment.setenv("ROUTING_KAFKA_USERNAME", "routing")
    environment.setenv("ROUTING_KAFKA_PASSWORD_FILE", str(file))
    environment.setenv("AUDIT_KAFKA_USERNAME", "")  # as if it were not there, like all settings
    routing, audit = (CoreSettings.for_service(one).kafka for one in ("routing", "audit"))
    assert (routing.username, routing.secret()) == ("routing", "own")
    assert (audit.username, audit.secret()) == ("operator", "all")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "setting KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT'"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_USERNAME"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_USERNAME": "water"},
            "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT needs KAFKA_PASSWORD or KAFKA_PASSWORD_FILE",
        ),
        ({"KAFKA_USERNAME": "water"}, "KAFKA_USERNAME is of no use with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"KAFKA_CA_FILE": "ca.pem"}, "KAFKA_CA_FILE is of no use with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_KEY_FILE": "key.pem"},
            "KAFKA_KEY_FILE is of no use without KAFKA_CERTIFICATE_FILE",
        ),
        ({"PUBLIC_URL": "https://city.example"}, "KAFKA_SECURITY_PROTOCOL=PLAINTEXT lets any client"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    environment: pytest.MonkeyPatch, given: dict[str, str], fault: str
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        CoreSettings.for_service("inquiry")
    assert describe_fault(caught.value).startswith(fault)


@pytest.mark.parametrize("given", [{"KAFKA_PLAINTEXT": "yes"}, {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}])
def test_an_https_city_says_that_it_takes_the_risk_or_takes_none(
    environment: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    environment.setenv("PUBLIC_URL", "https://city.example")
    if "KAFKA_SECURITY_PROTOCOL" in given:
        given = given | {"KAFKA_USERNAME": "inquiry", "KAFKA_PASSWORD": "word"}
    for name, value in given.items():
        environment.setenv(name, value)
    assert CoreSettings.for_service("inquiry").https
