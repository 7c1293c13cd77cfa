"""The pinned address is called, but the certificate must be valid for the host name."""

import ssl
from urllib.parse import urlsplit

import pytest

from services.publisher.domain.delivery_results import Delivered, DeliveryResult, TryAgain
from services.publisher.push.guard import Guard
from services.publisher.push.rendering import RenderedWebhook
from services.publisher.push.webhooks import Webhooks
from tests.certificates import Certificate, self_signed
from tests.integration.publisher.sinks import HookSink, hook_sink

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="


class HereGuard(Guard):
    """Resolves every name to this machine, as a name server of an attacker, or of a test, would."""

    async def resolve(self, host: str, port: int) -> str:  # noqa: ARG002  (whatever is asked)
        return "127.0.0.1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "hooks.example.test")


async def call(certificate: Certificate, host: str) -> tuple[DeliveryResult, HookSink]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.file, certificate.key)
    client = ssl.create_default_context(cafile=certificate.file)
    async with hook_sink(server) as sink, Webhooks(HereGuard(allow_private=False), client) as webhooks:
        port = urlsplit(sink.url).port
        outcome = await webhooks.deliver(
            "id", RenderedWebhook(f"https://{host}:{port}/in", (SECRET,), b'{"type":"x"}')
        )
    return outcome, sink


async def test_host_and_certificate_have_the_name_while_the_address_is_pinned(
    certificate: Certificate,
) -> None:
    outcome, sink = await call(certificate, "hooks.example.test")
    assert outcome == Delivered()
    assert sink.calls[0].headers["host"].startswith("hooks.example.test:")


async def test_a_certificate_of_another_name_is_refused(certificate: Certificate) -> None:
    outcome, sink = await call(certificate, "other.example.test")
    assert outcome == TryAgain("ConnectError")
    assert sink.calls == []
