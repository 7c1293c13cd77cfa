"""Settings that audit alone has."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator

from shared.settings import CoreSettings

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x20-\x7e]*", re.ASCII)


class AuditSettings(CoreSettings):
    """Where the log's key and files are. The files may be public; the key must not leave this service."""

    log_key_file: Path | None = None
    log_folder: Path | None = None
    log_origin: str | None = None
    """The log's name in every checkpoint; read only when the key is created."""

    otel_exporter_otlp_endpoint: str | None = None
    """URL of an OpenTelemetry collector for OTLP/HTTP, without `/v1/traces`. Unset: no traces are sent."""
    otel_exporter_otlp_headers: SecretStr = SecretStr("")
    """`name=value,name=value` with percent-encoded values (W3C Baggage), usually the collector's key."""

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
        """Where traces are posted; None if they are not."""
        endpoint = self.otel_exporter_otlp_endpoint
        return None if endpoint is None else endpoint.rstrip("/") + "/v1/traces"

    @property
    def traces_headers(self) -> dict[str, str]:
        """Headers of each post, decoded."""
        split = (pair.partition("=") for pair in _pairs(self.otel_exporter_otlp_headers))
        return {name: unquote(value.strip()) for name, _, value in split}

    @property
    def key_file(self) -> Path:
        """The log's private key."""
        return self.log_key_file or self.data_dir / "keys" / "log.key"

    @property
    def folder(self) -> Path:
        """The log's public files."""
        return self.log_folder or self.data_dir / "log"

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self.log_origin or f"{urlsplit(self.public_url).hostname}/log"


def _pairs(headers: SecretStr) -> list[str]:
    return [pair.strip() for pair in headers.get_secret_value().split(",") if pair.strip()]
