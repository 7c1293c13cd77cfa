"""A broker that believes nobody without a password: SCRAM users, ACLs, nothing allowed by default."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.kafka_access import KafkaAccess, Protocol

_SCRAM = "SCRAM-SHA-512"
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True)
class Secured:
    """Who is known to a broker from its first start.

    `superuser` may do everything and is the broker's own user too; `users` are others, by name with their
    passwords. With `certificate` and its `key`, PEM files, clients have to use TLS. Names and passwords are
    plain ASCII words.
    """

    superuser: str
    password: str
    users: Mapping[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    key: Path | None = None

    @property
    def client_protocol(self) -> Protocol:
        return "SASL_SSL" if self.certificate else "SASL_PLAINTEXT"

    def access(self, bootstrap: str) -> KafkaAccess:
        """The superuser's way to a broker."""
        return KafkaAccess(
            bootstrap,
            self.client_protocol,
            username=self.superuser,
            password=self.password,
            ca_file=self.certificate,
        )

    @property
    def scram_options(self) -> list[str]:
        """The users as `kafka-storage format` takes them."""
        known = {self.superuser: self.password, **self.users}
        return [f"--add-scram={_SCRAM}=[name={name},password={word}]" for name, word in known.items()]

    def properties(self) -> dict[str, str]:
        """Properties of the broker; clients come to the listener CLIENTS.

        The controller has a password that is new with each start, which nobody but this broker knows.
        """
        inner = secrets.token_hex(16)
        properties = {
            "listener.security.protocol.map": f"CLIENTS:{self.client_protocol},CONTROLLER:SASL_PLAINTEXT",
            "inter.broker.listener.name": "CLIENTS",
            "sasl.enabled.mechanisms": _SCRAM,
            "sasl.mechanism.inter.broker.protocol": _SCRAM,
            f"listener.name.clients.{_SCRAM.lower()}.sasl.jaas.config": (
                f'{_LOGIN}.scram.ScramLoginModule required username="{self.superuser}" '
                f'password="{self.password}";'
            ),
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{_LOGIN}.plain.PlainLoginModule required username="controller" password="{inner}" '
                f'user_controller="{inner}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{self.superuser};User:controller",
        }
        if self.certificate and self.key:
            properties |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.certificate.chain": _one_line(self.certificate),
                "ssl.keystore.key": _one_line(self.key),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.certificates": _one_line(self.certificate),
            }
        return properties


def _one_line(pem: Path) -> str:
    """A PEM file as the value of a property."""
    return pem.read_text().replace("\n", "\\n")
