"""Settings from the environment. Only SECRET_KEY is required; everything else has a default.

`CoreSettings` is the base of all: a service adds its own in `config.py`, `shared.web.settings` adds what the
policy pack decides. Every class is read by `for_service`, and `main` in `shared.service` reports errors.
"""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.kafka_access import AccessInvalid, KafkaAccess, Mechanism, Protocol
from shared.keys import derive

ServiceName = Literal["publisher", "inquiry", "routing", "audit"]
SERVICES: tuple[ServiceName, ...] = ("publisher", "inquiry", "routing", "audit")
# What a service may have of its own where several share an environment.
_OWN = (
    *("database_url", "host", "port", "consumer_group"),
    *("kafka_username", "kafka_password", "kafka_password_file"),
)
REPOSITORY = Path(__file__).resolve().parent.parent


class KafkaSettings(BaseSettings):
    """How a process reaches Kafka: all that some commands need."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security_protocol: Protocol = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_password_file: Path | None = None
    """A file with the password and nothing else, read again for each new client."""
    kafka_ca_file: Path | None = None
    """PEM certificates of those who sign the brokers' certificates, instead of the system's."""
    kafka_certificate_file: Path | None = None
    kafka_key_file: Path | None = None
    """The client's own certificate and its key, in PEM, for brokers that ask for one."""

    @property
    def kafka(self) -> KafkaAccess:
        """The same as one value, which every client takes."""
        password = self.kafka_password
        return KafkaAccess(
            self.kafka_bootstrap,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_username,
            password.get_secret_value() if password else None,
            self.kafka_password_file,
            self.kafka_ca_file,
            self.kafka_certificate_file,
            self.kafka_key_file,
        )

    @model_validator(mode="after")
    def _can_reach_kafka(self) -> Self:
        try:
            self.kafka.options()
        except AccessInvalid as error:
            raise ValueError(str(error)) from None
        return self


class CoreSettings(KafkaSettings):
    """The settings that every service has: database, broker, policy pack, HTTP, sign-in."""

    service: ServiceName = "inquiry"
    database_url: SecretStr = SecretStr("postgres://postgres@127.0.0.1:5432/civicloom")
    """Secret since it may hold a password."""
    kafka_plaintext: bool = False
    """Lets a service with an https address speak to Kafka in clear."""
    topic_namespace: str = "civic"
    pack: str = "cn-city"
    policies_dir: Path = REPOSITORY / "policies"
    data_dir: Path = REPOSITORY / ".data"
    clock_file: Path | None = None
    secret_key: SecretStr
    """At least 32 bytes of hex, from which all keys of the installation are derived."""
    public_url: str = "http://127.0.0.1:8080"
    """Origin at which browsers reach the installation, without a slash at the end."""
    host: str = "127.0.0.1"
    port: int = 8000
    trusted_proxies: str = "127.0.0.1"
    """Addresses and networks, separated by commas, or `*`, whose X-Forwarded-For is believed, for limits."""
    oidc_issuer: str | None = None
    oidc_client_id: str = "civicloom"
    oidc_client_secret: SecretStr | None = None
    api_keys_file: Path | None = None
    log_level: str = "info"
    pool_size: int = 10
    consumer_group: str | None = None
    """Kafka group, for display and balancing only: the cursors decide what is read."""
    grace_seconds: float = 30
    """How long after its due moment a deadline check waits for events that were in time but are unread."""
    unanswered_after_seconds: float = 600
    """How long another service may take to answer about a case before the case is reported as unanswered."""
    bad_records_per_minute: int = 100
    """Records of a partition that may be parked or refused in a minute: a unit has some dozens of records a
    second at most, and each bad one stays in the tables and in the public log."""

    # How long anything may hang before it is given up. docs/time-limits.md says what each is good for.
    connect_seconds: float = Field(5, gt=0)
    """For a new session with the database."""
    command_seconds: float = Field(60, gt=0)
    """For the answer to one SQL command of a loop."""
    transaction_seconds: float = Field(60, ge=0)
    """A longer transaction is ended by the server, with its session; 0: never."""
    transaction_idle_seconds: float = Field(30, ge=0)
    """So is one whose client says nothing for so long; 0: never."""
    owner_idle_seconds: float = Field(30, ge=0)
    """A session that holds advisory locks and says nothing for so long is ended by the server; 0: never."""
    keepalive_seconds: int = Field(10, ge=1)
    """A silent peer is probed after so long, and counts as gone after three times as long."""
    request_seconds: float = Field(4, gt=0)
    """For the answer to an HTTP request; then it is 503."""
    watchdog_seconds: int = Field(60, ge=1)
    """A process whose event loop stands still for so long ends."""
    broker_silence_seconds: float = Field(30, gt=0)
    """A service that no Kafka broker has answered for so long is not ready."""
    request_limit: int = Field(100, ge=1)
    """HTTP requests that a process works on at a time; what comes on top is answered 503 at once."""
    stream_limit: int = Field(1000, ge=1)
    """Streams (server-sent events) that a process serves at a time, beside those requests."""

    @classmethod
    def for_service(cls, service: ServiceName) -> Self:
        """The settings of one service, from the environment.

        `<SERVICE>_DATABASE_URL` and so on for all of `_OWN` override the common variables. Raises
        pydantic.ValidationError; `describe_fault` makes a sentence of it.
        """
        own = {name: value for name in _OWN if (value := os.environ.get(f"{service}_{name}".upper()))}
        return cls(service=service, **own)  # type: ignore[arg-type]

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("PUBLIC_URL must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        if value.strip() != "*":
            proxy_networks(value)
        return value

    @model_validator(mode="after")
    def _is_known_to_kafka(self) -> Self:
        if self.https and self.kafka_security_protocol == "PLAINTEXT" and not self.kafka_plaintext:
            raise ValueError(
                "KAFKA_SECURITY_PROTOCOL=PLAINTEXT lets any client of the broker speak for a service, "
                "and PUBLIC_URL is https: use SASL_PLAINTEXT or SASL_SSL; KAFKA_PLAINTEXT=yes takes the risk"
            )
        return self

    @field_validator("secret_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        derive(value.get_secret_value(), "check")
        return value

    @property
    def service_database_url(self) -> str:
        """The database as the service's own role, which owns the schema of the same name."""
        url = self.database_url.get_secret_value()
        if f"{self.service}_DATABASE_URL".upper() in os.environ:
            return url
        return with_user(url, self.service)

    @property
    def https(self) -> bool:
        """Whether browsers use https, so that cookies may require it."""
        return self.public_url.startswith("https://")

    def key(self, purpose: str) -> bytes:
        """The key of 32 bytes that SECRET_KEY gives for one purpose."""
        return derive(self.secret_key.get_secret_value(), purpose)


def proxy_networks(text: str) -> list[IPv4Network | IPv6Network]:
    """The addresses and networks of TRUSTED_PROXIES. Raises ValueError."""
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ValueError(f"{error}; expected addresses and networks, separated by commas, or `*`") from None


def describe_fault(error: ValidationError) -> str:
    """One sentence about the first wrong setting, without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    return _said(first)


def describe_faults(error: ValidationError) -> str:
    """The same of all wrong settings, separated by semicolons."""
    return "; ".join(_said(fault) for fault in error.errors(include_url=False, include_input=False))


def _said(fault: ErrorDetails) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in fault["loc"]).upper()
    return f"setting {name}: {message}" if name else message  # those of several settings name them


def with_user(url: str, user: str, password: str | None = None) -> str:
    """The same database URL for another role, with the given password, else the URL's, else none."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    password = password or parts.password
    return urlunsplit(parts._replace(netloc=f"{user}{f':{password}' if password else ''}@{host}"))
