"""Settings that audit alone has."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings import CoreSettings


class AuditSettings(BaseSettings):
    """Where the log's key and files are. The files may be served by anybody; the key must stay here."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_key_file: Path | None = None
    log_folder: Path | None = None
    log_origin: str | None = None
    """The log's name in every checkpoint; used once, when the key is made."""

    def key_file(self, core: CoreSettings) -> Path:
        return self.log_key_file or core.data_dir / "keys" / "log.key"

    def folder(self, core: CoreSettings) -> Path:
        return self.log_folder or core.data_dir / "log"

    def origin(self, core: CoreSettings) -> str:
        return self.log_origin or f"{urlsplit(core.public_url).hostname}/log"
