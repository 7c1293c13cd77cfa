"""Settings that audit alone has."""

import re
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings import CoreSettings

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x20-\x7e]*", re.ASCII)


class AuditSettings(BaseSettings):
    """Where the log's key and files are. The files may be served by anybody; the key must stay here."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    log_key_file: Path | None = None
    log_folder: Path | None = None
    log_origin: str | None = None
    """The log's name in every checkpoint; used once, when the key is made."""

    otel_exporter_otlp_endpoint: str | None = None
    """Of an OpenTelemetry collector that takes OTLP/HTTP (`/v1/traces` below it); unset, nothing is sent."""
    otel_exporter_otlp_headers: SecretStr = SecretStr("")
    """`name=value,name=value`, values percent-encoded (W3C Baggage): mostly the collector's key."""

    @classmethod
    def load(cls) -> Self:
        """From the environment. Raises pydantic.ValidationError."""
        return cls()

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT must look like http://collector:4318")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr) -> SecretStr:
        if not all(_HEADER.fullmatch(pair) for pair in _pairs(value)):
            raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must look like name=value,name=value")
        return value

    @property
    def traces_url(self) -> str | None:
        """Where traces are posted to; None if they are not."""
        endpoint = self.otel_exporter_otlp_endpoint
        return None if endpoint is None else endpoint.rstrip("/") + "/v1/traces"

    @property
    def traces_headers(self) -> dict[str, str]:
        """The headers of each post."""
        split = (pair.partition("=") for pair in _pairs(self.otel_exporter_otlp_headers))
        return {name: unquote(value.strip()) for name, _, value in split}

    def key_file(self, core: CoreSettings) -> Path:
        return self.log_key_file or core.data_dir / "keys" / "log.key"

    def folder(self, core: CoreSettings) -> Path:
        return self.log_folder or core.data_dir / "log"

    def origin(self, core: CoreSettings) -> str:
        return self.log_origin or f"{urlsplit(core.public_url).hostname}/log"


def _pairs(headers: SecretStr) -> list[str]:
    return [pair.strip() for pair in headers.get_secret_value().split(",") if pair.strip()]
