"""Settings of the web edge, the same for all four services."""

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.keys import derive
from shared.web.i18n import LANGUAGES


class WebSettings(BaseSettings):
    """Read from the environment; a service's own settings may inherit it.

    `language` and `time_zone` are what a reader gets who asks for nothing: the pack of the jurisdiction
    knows them.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    public_url: str = "http://127.0.0.1:8080"
    secret_key: SecretStr
    oidc_issuer: str | None = None
    oidc_client_id: str = "civicloom"
    oidc_client_secret: SecretStr | None = None
    api_keys_file: Path | None = None
    language: str = "zh"
    time_zone: str = "Asia/Shanghai"

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("PUBLIC_URL must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        derive(value.get_secret_value(), "check")
        return value

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str) -> str:
        if value not in LANGUAGES:
            raise ValueError(f"LANGUAGE must be one of {', '.join(LANGUAGES)}")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"TIME_ZONE {value!r} is not in the tz database, for example Asia/Shanghai"
            ) from error
        return value

    @property
    def https(self) -> bool:
        """Whether browsers reach us encrypted, so that cookies may insist on it."""
        return self.public_url.startswith("https://")

    def key(self, purpose: str) -> bytes:
        """The 32 bytes that SECRET_KEY gives for one purpose."""
        return derive(self.secret_key.get_secret_value(), purpose)
