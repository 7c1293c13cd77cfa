"""A contact's webhook as the text that is sealed: URL and signing secret together."""

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class SealedWebhook:
    """`secret` was made by inquiry, which showed it to the citizen; it cannot be derived here."""

    url: str
    secret: str

    def to_text(self) -> str:
        """The text to seal."""
        return orjson.dumps({"url": self.url, "secret": self.secret}).decode()

    @classmethod
    def from_text(cls, text: str) -> "SealedWebhook":
        """From what `to_text` made."""
        return cls(**orjson.loads(text))
