"""Webhook signatures are those of Standard Webhooks; sealed addresses stay in their rows."""

import datetime as dt

import pytest
from cryptography.exceptions import InvalidTag
from standardwebhooks import Webhook, WebhookVerificationError

from services.publisher.derived_secrets import OVERLAP, DerivedSecrets
from services.publisher.keyring import Keyring, Sealed
from services.publisher.push.webhooks import signed_headers
from shared.clock import machine_now

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
BODY = b'{"test": 2432232314}'


def test_the_known_vector_is_signed_as_standard_webhooks_says() -> None:
    moment = dt.datetime.fromtimestamp(1760000000, dt.UTC)
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, BODY, [SECRET])
    assert headers["webhook-timestamp"] == "1760000000"
    assert headers["webhook-signature"] == "v1,6XG9RYfj/6iVHyedAjrHStdBj+7D1mW2LownucU/T7Q="


def test_the_official_library_verifies_what_we_sign_and_refuses_what_was_changed() -> None:
    body = '{"title":"水费调整"}'.encode()
    headers = signed_headers("msg_1", machine_now(), body, [SECRET])
    assert Webhook(SECRET).verify(body, headers) == {"title": "水费调整"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace("水".encode(), "火".encode()), headers)


def test_after_a_rotation_each_of_the_two_secrets_verifies_for_a_day_and_then_the_new_one_alone() -> None:
    secrets, now = DerivedSecrets("00" * 32), machine_now()
    old, new = secrets.webhook_secret("a"), secrets.webhook_secret("a", 1)
    both = secrets.signing_secrets("a", 1, now, now + OVERLAP - dt.timedelta(seconds=1))
    assert both == (new, old)
    headers = signed_headers("msg_1", now, BODY, both)
    for secret in both:
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    assert secrets.signing_secrets("a", 1, now, now + OVERLAP) == (new,)
    assert secrets.signing_secrets("a", 0, None, now) == (old,)


def test_every_subscription_has_a_secret_and_links_of_its_own() -> None:
    secrets = DerivedSecrets("00" * 32)
    assert secrets.webhook_secret("a") != secrets.webhook_secret("b")
    assert secrets.webhook_secret("a") == DerivedSecrets("00" * 32).webhook_secret("a")
    assert secrets.is_token("leave", "a", secrets.token("leave", "a"))
    assert not secrets.is_token("leave", "a", secrets.token("confirm", "a"))
    assert not secrets.is_token("leave", "b", secrets.token("leave", "a"))
    assert not secrets.is_token("leave", "a", "居民")


def test_an_address_opens_only_with_the_key_and_in_the_row_that_it_was_sealed_for() -> None:
    keyring = Keyring(b"k" * 32)
    sealed = keyring.seal("resident@example.org", "case-1")
    assert b"resident" not in sealed.box
    assert keyring.open(sealed, "case-1") == "resident@example.org"
    with pytest.raises(InvalidTag):
        keyring.open(sealed, "case-2")
    with pytest.raises(InvalidTag):
        Keyring(b"x" * 32).open(sealed, "case-1")
    with pytest.raises(InvalidTag):
        keyring.open(Sealed(sealed.box, keyring.seal("other", "case-1").wrapped_key), "case-1")
