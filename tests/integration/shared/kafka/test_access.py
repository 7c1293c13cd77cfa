"""A broker that believes nobody: what our clients say, and which reason they give when it refuses them."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from deploy.local.secured import Secured
from harness.schema import make_topics
from services import cli
from shared.contracts.addresses import topic_name
from shared.kafka.admin import BrokerRefused, KafkaAdmin
from shared.kafka.broker_probe import BrokerProbe
from shared.kafka.client import KafkaError, Producer, Reader
from shared.kafka.refusal import explain, refusal
from shared.kafka_access import KafkaAccess
from tests.certificates import Certificate, self_signed
from tests.waiting import until

TOPIC = topic_name("t", "inquiry")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module", params=["SASL_PLAINTEXT", "SASL_SSL"])
async def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> AsyncIterator[Kafka]:
    files = (certificate.file, certificate.key) if request.param == "SASL_SSL" else (None, None)
    secured = Secured("operator", "all-rights", {"water": "no-rights"}, *files)
    with Kafka(tmp_path_factory.mktemp("kafka"), secured=secured) as running:
        await make_topics(running.access, "t", [])
        yield running


@pytest.fixture
def water(broker: Kafka) -> KafkaAccess:
    """A user that is known and has no right."""
    return replace(broker.access, username="water", password="no-rights")


async def test_who_has_all_rights_writes_and_reads(broker: Kafka) -> None:
    producer = Producer(broker.access, "test")
    reader = Reader(broker.access, "test", [TOPIC])
    try:
        result = await producer.publish([(TOPIC, b"k", b"{}", None)])
        assert (len(result.sent), result.failed) == (1, {})
        await reader.start({})
        assert await until(lambda: reader.read(10, 100))
    finally:
        await producer.stop()
        await reader.stop()
    assert await refusal(broker.access) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"password": "wrong"}, "{broker} does not take the password of user water"),
        ({"username": "nobody"}, "{broker} does not take the password of user nobody"),
        ({"mechanism": "PLAIN"}, "{broker} does not know KAFKA_SASL_MECHANISM=PLAIN"),
        (
            {"protocol": "PLAINTEXT", "username": None, "password": None, "ca_file": None},
            "{broker} ends the connection of a client with KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
        ),
        (
            {"password": None, "password_file": Path("/no/such")},
            "KAFKA_PASSWORD_FILE: /no/such cannot be read: No such file or directory",
        ),
    ],
)
async def test_who_is_refused_learns_why(
    broker: Kafka, water: KafkaAccess, change: dict[str, object], sentence: str
) -> None:
    refused = replace(water, **change)
    said = sentence.format(broker=f"the Kafka broker at {broker.bootstrap}")
    assert await refusal(refused) == said
    with pytest.raises(BrokerRefused) as caught:
        async with KafkaAdmin(refused):
            pass
    assert str(caught.value) == said
    with pytest.raises(KafkaError):
        await Producer(refused, "test").start()


async def test_what_neither_side_speaks(broker: Kafka, water: KafkaAccess) -> None:
    other = replace(
        water,
        protocol="SASL_PLAINTEXT" if water.protocol == "SASL_SSL" else "SASL_SSL",
        ca_file=None,
    )
    assert await refusal(other) == (
        f"the Kafka broker at {broker.bootstrap} ends the connection of a client with "
        f"KAFKA_SECURITY_PROTOCOL={other.protocol}"
    )


async def test_who_may_not_write_or_read_learns_what(broker: Kafka, water: KafkaAccess) -> None:
    producer = Producer(water, "test")
    reader = Reader(water, "test", [TOPIC])
    try:
        with pytest.raises(KafkaError) as caught:
            await producer.publish([(TOPIC, b"k", b"{}", None)])
        said = await explain(caught.value, water, "write to")
        assert said == "the Kafka user water may not write to any topic"
        with pytest.raises(
            KafkaError, match=f"{TOPIC} does not exist, or the Kafka user water may not read it"
        ):
            await reader.start({})
    finally:
        await producer.stop()
        await reader.stop()


async def test_where_nobody_listens() -> None:
    nowhere = KafkaAccess(f"127.0.0.1:{free_port()}")
    assert await refusal(nowhere) == f"no Kafka broker answers at {nowhere.bootstrap}"


async def test_one_of_several_addresses_is_enough(broker: Kafka) -> None:
    gone = f"127.0.0.1:{free_port()}"
    assert await refusal(replace(broker.access, bootstrap=f"{gone}, {broker.bootstrap}")) is None


async def test_a_probe_says_why_no_broker_takes_it_and_forgets_it(
    broker: Kafka, water: KafkaAccess, tmp_path: Path
) -> None:
    """As when a password is exchanged: the next connection takes the new one."""
    file = tmp_path / "password"
    file.write_text("old")
    probe = BrokerProbe(replace(water, password=None, password_file=file), [])
    running = asyncio.create_task(probe.run())

    async def refused() -> str | None:
        return probe.refusal

    async def answered() -> bool:
        return probe.refusal is None

    assert await until(refused) == (
        f"the Kafka broker at {broker.bootstrap} does not take the password of user water"
    )
    file.write_text("no-rights\n")
    await until(answered)
    running.cancel()
    await asyncio.wait([running])


def test_a_command_gives_the_reason_in_one_sentence(
    broker: Kafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in replace(broker.access, password="wrong").environment().items():
        monkeypatch.setenv(name, value)
    assert cli.main(["topics", "diff", "--namespace", "t"]) == 1
    assert capsys.readouterr().err == (
        f"civicloom: the Kafka broker at {broker.bootstrap} does not take the password of user operator\n"
    )
    monkeypatch.delenv("KAFKA_USERNAME")
    assert cli.main(["topics", "diff", "--namespace", "t"]) == 2
    assert f"KAFKA_SECURITY_PROTOCOL={broker.access.protocol} needs KAFKA_USERNAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "valid", "is_known", "reason"),
    [
        ("127.0.0.1", dt.timedelta(hours=-1), True, "certificate has expired"),
        ("other.example", dt.timedelta(hours=1), True, "IP address mismatch, certificate is not valid for"),
        ("127.0.0.1", dt.timedelta(hours=1), False, "self-signed certificate"),
    ],
)
async def test_a_certificate_that_is_not_taken(
    tmp_path: Path, host: str, valid: dt.timedelta, is_known: bool, reason: str
) -> None:
    made = self_signed(tmp_path, host, valid=valid)
    secured = Secured("operator", "all-rights", {}, made.file, made.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.file, made.key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        access = replace(secured.access(f"127.0.0.1:{port}"), ca_file=made.file if is_known else None)
        said = await refusal(access)
    assert said is not None
    assert said.startswith(f"the certificate of the Kafka broker at 127.0.0.1:{port} is not taken: {reason}")
    assert said.endswith("(KAFKA_CA_FILE)")
