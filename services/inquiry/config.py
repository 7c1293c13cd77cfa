"""Settings of inquiry alone, and what it derives from those that all services share."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.keys import derive
from shared.settings import CoreSettings

WRONG_SECRETS_PER_NUMBER = (5, 60.0)
"""At once, and one more every so many seconds: for a case, whoever guesses. The right secret is no guess."""
WRONG_SECRETS_PER_CLIENT = (20, 15.0)
"""For a client, whatever it guesses at: an office or a school may share one address."""
TRACKING_SECONDS = 30 * 60
"""How long a browser that has shown the secret need not show it again."""


class InquirySettings(BaseSettings):
    """`ALLOW_PRIVATE_WEBHOOKS` as in publisher, which calls the webhooks: contacts may name plain http."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    allow_private_webhooks: bool = False


def secret_key(settings: CoreSettings) -> bytes:
    """The key that makes the secrets of cases and of their webhooks."""
    return derive(settings.secret_key, "inquiry secret")


def tracking_key(settings: CoreSettings) -> bytes:
    """The key that seals the cookie of a browser that follows a case."""
    return derive(settings.secret_key, "inquiry tracking")
