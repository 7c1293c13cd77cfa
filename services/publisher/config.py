"""Settings that publisher alone has."""

from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from shared.settings import CoreSettings

_SCHEMES = {"smtp": 25, "smtps": 465}


class PublisherSettings(CoreSettings):
    """`SMTP_URL` is `smtp://[user:password@]host[:port]` or `smtps://...`; without it the e-mail lane waits.

    `MAIL_FROM` is the sender's address. `ALLOW_PRIVATE_WEBHOOKS` allows plain http, any port and private
    addresses for webhooks: for tests and for an installation in a private network.
    """

    smtp_url: SecretStr | None = None
    mail_from: str | None = None
    allow_private_webhooks: bool = False

    @field_validator("smtp_url")
    @classmethod
    def _known_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in _SCHEMES or not parts.hostname:
                raise ValueError("SMTP_URL must look like smtp://host:25 or smtps://user:password@host:465")
        return value

    @property
    def sender(self) -> str:
        """The address that mails come from: MAIL_FROM, or noreply at the host of PUBLIC_URL."""
        host = urlsplit(self.public_url).hostname or "localhost"
        return self.mail_from or f"noreply@{host}"
