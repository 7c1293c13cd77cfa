"""Settings that inquiry alone has, and the keys that it derives."""

from shared.settings import CoreSettings

WRONG_SECRETS_PER_NUMBER = (5, 60.0)
"""Wrong guesses per case, from all clients: the burst, and the seconds until one more is allowed."""
TRACKING_SECONDS = 30 * 60
"""How long a browser that has sent the secret does not need to send it again."""


class InquirySettings(CoreSettings):
    """`ALLOW_PRIVATE_WEBHOOKS`: contacts may name plain http and any port. publisher, which calls, has it."""

    allow_private_webhooks: bool = False


def secret_key(settings: CoreSettings) -> bytes:
    """The key from which the secrets of cases and of their webhooks are made."""
    return settings.key("inquiry secret")


def tracking_key(settings: CoreSettings) -> bytes:
    """The key that seals the cookie of a browser that tracks a case."""
    return settings.key("inquiry tracking")
