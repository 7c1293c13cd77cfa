"""A contact's webhook as it is sealed: its URL with the secret that signs what is sent there."""

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class SealedWebhook:
    """`secret` is made by inquiry, which tells it to the citizen; nobody else can derive it."""

    url: str
    secret: str

    def packed(self) -> str:
        """As one text, to be sealed."""
        return orjson.dumps({"url": self.url, "secret": self.secret}).decode()

    @classmethod
    def unpacked(cls, text: str) -> "SealedWebhook":
        """From what `packed` made."""
        return cls(**orjson.loads(text))
