"""Settings that would be unsafe are refused."""

import pytest
from pydantic import SecretStr, ValidationError

from shared.web.settings import WebSettings


def test_a_weak_secret_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="32 bytes"):
        WebSettings(secret_key=SecretStr("00"))
