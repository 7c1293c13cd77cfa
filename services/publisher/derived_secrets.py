"""Secrets of subscribers, derived from SECRET_KEY and never stored."""

import base64
import datetime as dt
import hmac
from typing import Literal

from services.publisher.keyring import Keyring
from shared.keys import derive
from shared.webhooks import webhook_secret

OVERLAP = dt.timedelta(hours=24)
LinkPurpose = Literal["confirm", "leave"]


class DerivedSecrets:
    """Secrets of links and signatures, and the keyring of addresses. `secret_key` is the SECRET_KEY."""

    def __init__(self, secret_key: str) -> None:
        self.keyring = Keyring(derive(secret_key, "publisher contacts"))
        self._address = derive(secret_key, "publisher address hashes")
        self._link = derive(secret_key, "publisher subscription links")
        self._webhook = derive(secret_key, "publisher webhook secrets")

    def address_hash(self, address: str) -> bytes:
        """Index of an address. Keyed (HMAC-SHA-256): addresses are easily guessed from a plain hash."""
        return hmac.digest(self._address, address.encode(), "sha256")

    def token(self, purpose: LinkPurpose, subscription: str) -> str:
        """The token in a mail's link: 128 bits, valid for one purpose and one subscription."""
        digest = hmac.digest(self._link, f"{purpose}\0{subscription}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")

    def is_token(self, purpose: LinkPurpose, subscription: str, token: str) -> bool:
        """Whether `token` belongs to the purpose and the subscription; constant time."""
        expected = self.token(purpose, subscription).encode()
        return hmac.compare_digest(expected, token.encode("utf-8", "replace"))

    def webhook_secret(self, subscription: str, generation: int = 0) -> str:
        """The `whsec_` secret that verifies our signatures; a rotation makes the next generation."""
        return webhook_secret(self._webhook, f"{subscription} {generation}" if generation else subscription)

    def signing_secrets(
        self, subscription: str, generation: int, rotated_at: dt.datetime | None, now: dt.datetime
    ) -> tuple[str, ...]:
        """The secrets that sign at `now`, newest first; for a day after a rotation also the previous one."""
        newest = self.webhook_secret(subscription, generation)
        if rotated_at is None or now >= rotated_at + OVERLAP:
            return (newest,)
        return newest, self.webhook_secret(subscription, generation - 1)

    def is_webhook_secret(self, subscription: str, generation: int, secret: str) -> bool:
        """Whether `secret` is the webhook's secret of that generation; constant time."""
        expected = self.webhook_secret(subscription, generation).encode()
        return hmac.compare_digest(expected, secret.encode("utf-8", "replace"))

    def is_owners(self, subscription: str, generation: int, secret: str) -> bool:
        """Whether `secret` is the webhook's secret of that generation, or the token to leave."""
        is_webhooks = self.is_webhook_secret(subscription, generation, secret)
        return is_webhooks or self.is_token("leave", subscription, secret)
