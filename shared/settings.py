"""Settings that every process reads from the environment. One SECRET_KEY, all else has a sensible default."""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ServiceName = Literal["publisher", "inquiry", "routing", "audit"]
SERVICES: tuple[ServiceName, ...] = ("publisher", "inquiry", "routing", "audit")
REPOSITORY = Path(__file__).resolve().parent.parent


class CoreSettings(BaseSettings):
    """What the core needs, for one service. `for_service` fills in what depends on its name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    service: ServiceName = "inquiry"
    database_url: str = "postgres://postgres@127.0.0.1:5432/civicloom"
    kafka_bootstrap: str = "127.0.0.1:9092"
    topic_namespace: str = "civic"
    pack: str = "cn-city"
    policies_dir: Path = REPOSITORY / "policies"
    data_dir: Path = REPOSITORY / ".data"
    clock_file: Path | None = None
    secret_key: str = Field(min_length=64)
    public_url: str = "http://127.0.0.1:8080"
    host: str = "127.0.0.1"
    port: int = 8000
    trusted_proxies: str = "127.0.0.1"
    """Whose X-Forwarded-For is believed: comma list of addresses; a rate limit hangs on it."""
    log_level: str = "info"
    pool_size: int = 10
    consumer_group: str | None = None
    """Kafka group; only display and balancing hang on it, the authority is the cursor."""
    grace_seconds: float = 30
    """How long after due a judging timer waits for what was in time but is still on its way."""

    @classmethod
    def for_service(cls, service: ServiceName) -> "CoreSettings":
        """From the environment; `<SERVICE>_DATABASE_URL`, `_HOST` and `_PORT` override the common ones."""
        own = {
            name: os.environ[variable]
            for name in ("database_url", "host", "port", "consumer_group")
            if (variable := f"{service}_{name}".upper()) in os.environ
        }
        return cls(service=service, **own)  # type: ignore[arg-type]

    @property
    def service_database_url(self) -> str:
        """The database as the service's own role, which owns the schema of the same name."""
        if f"{self.service}_DATABASE_URL".upper() in os.environ:
            return self.database_url
        return with_user(self.database_url, self.service)


def with_user(url: str, user: str, password: str | None = None) -> str:
    """The same database for another role; without a password it is the url's, or else that of PGPASSWORD."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    password = password or parts.password
    return urlunsplit(parts._replace(netloc=f"{user}{f':{password}' if password else ''}@{host}"))
