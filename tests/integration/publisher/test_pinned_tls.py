"""The pinned address is called, but the certificate must be valid for the host name."""

import datetime as dt
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.publisher.domain.delivery_results import Delivered, DeliveryResult, TryAgain
from services.publisher.push.guard import Guard
from services.publisher.push.rendering import RenderedWebhook
from services.publisher.push.webhooks import Webhooks
from shared.clock import machine_now
from tests.integration.publisher.sinks import HookSink, hook_sink

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="


class HereGuard(Guard):
    """Resolves every name to this machine, as a name server of an attacker, or of a test, would."""

    async def resolve(self, host: str, port: int) -> str:  # noqa: ARG002  (whatever is asked)
        return "127.0.0.1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for hooks.example.test, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example.test")])
    now = machine_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


async def call(certificate: Path, host: str) -> tuple[DeliveryResult, HookSink]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate))
    async with hook_sink(server) as sink, Webhooks(HereGuard(allow_private=False), client) as webhooks:
        port = urlsplit(sink.url).port
        outcome = await webhooks.deliver(
            "id", RenderedWebhook(f"https://{host}:{port}/in", (SECRET,), b'{"type":"x"}')
        )
    return outcome, sink


async def test_host_and_certificate_have_the_name_while_the_address_is_pinned(certificate: Path) -> None:
    outcome, sink = await call(certificate, "hooks.example.test")
    assert outcome == Delivered()
    assert sink.calls[0].headers["host"].startswith("hooks.example.test:")


async def test_a_certificate_of_another_name_is_refused(certificate: Path) -> None:
    outcome, sink = await call(certificate, "other.example.test")
    assert outcome == TryAgain("ConnectError")
    assert sink.calls == []
