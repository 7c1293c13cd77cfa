"""Where the brokers are and who we are to them: every Kafka client of ours takes its options from here."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.errors import KafkaError

from shared.errors import CivicloomError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


class AccessInvalid(CivicloomError, KafkaError):  # type: ignore[misc]
    """What a client needs to reach the brokers is missing or cannot be read; says what and where.

    A KafkaError too: while files are exchanged, a client tries again as after any other refusal.
    """

    __str__ = Exception.__str__  # a KafkaError's begins with the name of its class


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """The brokers' addresses, how they are spoken to, and as whom.

    `bootstrap` is host:port, several separated by commas. Files are read for each new client, so that a
    password or a certificate that was exchanged is used from then on.
    """

    bootstrap: str
    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __repr__(self) -> str:
        return f"{self.protocol}://{self.username or 'nobody'}@{self.bootstrap}"

    def options(self) -> dict[str, Any]:
        """Keyword arguments of any client of aiokafka. Raises AccessInvalid."""
        self._refuse_useless()
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self._username(),
                "sasl_plain_password": self.secret(),
            }
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = self._tls()
        return options

    def librdkafka_options(self) -> dict[str, str]:
        """The same for a client on librdkafka, in its words. Raises AccessInvalid."""
        self.options()
        given = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.protocol,
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        if self.protocol.startswith("SASL"):
            given |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.secret(),
            }
        return {name: str(value) for name, value in given.items() if value is not None}

    def settings(self) -> dict[str, Any]:
        """The same as fields of `KafkaSettings`."""
        return {
            "kafka_bootstrap": self.bootstrap,
            "kafka_security_protocol": self.protocol,
            "kafka_sasl_mechanism": self.mechanism,
            "kafka_username": self.username,
            "kafka_password": self.password,
            "kafka_password_file": self.password_file,
            "kafka_ca_file": self.ca_file,
            "kafka_certificate_file": self.certificate_file,
            "kafka_key_file": self.key_file,
        }

    def environment(self) -> dict[str, str]:
        """The variables by which another process gets the same access."""
        plain = KafkaAccess("").settings()
        return {name.upper(): str(value) for name, value in self.settings().items() if value != plain[name]}

    def secret(self) -> str:
        """The password. Raises AccessInvalid."""
        if self.password_file is None:
            if not self.password:
                raise AccessInvalid(
                    f"KAFKA_SECURITY_PROTOCOL={self.protocol} needs KAFKA_PASSWORD or KAFKA_PASSWORD_FILE"
                )
            return self.password
        try:
            # Most editors end a file with a newline, which is no part of a password.
            found = self.password_file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable("KAFKA_PASSWORD_FILE", self.password_file, error) from error
        if not found or "\n" in found:
            fault = "has more than one line" if found else "is empty"
            raise AccessInvalid(f"KAFKA_PASSWORD_FILE: {self.password_file} {fault}")
        return found

    def _refuse_useless(self) -> None:
        """What has no effect was meant to have one."""
        useless: list[str] = []
        if not self.protocol.startswith("SASL"):
            useless += ["kafka_username", "kafka_password", "kafka_password_file"]
        if not self.protocol.endswith("SSL"):
            useless += ["kafka_ca_file", "kafka_certificate_file", "kafka_key_file"]
        given = self.settings()
        for name in useless:
            if given[name] is not None:
                protocol = f"KAFKA_SECURITY_PROTOCOL={self.protocol}"
                raise AccessInvalid(f"{name.upper()} is of no use with {protocol}")

    def _username(self) -> str:
        if not self.username:
            raise AccessInvalid(f"KAFKA_SECURITY_PROTOCOL={self.protocol} needs KAFKA_USERNAME")
        return self.username

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable("KAFKA_CA_FILE", self.ca_file, error) from error
        if self.certificate_file is not None:
            try:
                # Without a password: OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password=lambda: "")
            except (OSError, ssl.SSLError) as error:
                raise _unreadable("KAFKA_CERTIFICATE_FILE", self.certificate_file, error) from error
        elif self.key_file is not None:
            raise AccessInvalid("KAFKA_KEY_FILE is of no use without KAFKA_CERTIFICATE_FILE")
        return context


def _unreadable(setting: str, path: Path | None, error: Exception) -> AccessInvalid:
    if isinstance(error, ssl.SSLError):
        reason = "it holds no certificate in PEM, or not the key that belongs to it"
    elif isinstance(error, OSError):
        reason = error.strerror or repr(error)
    else:
        reason = "it is not UTF-8 text"
    return AccessInvalid(f"{setting}: {path} cannot be read: {reason}")
