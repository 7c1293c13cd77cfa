"""What a unit's own client needs to reach the brokers, in the words of the usual clients."""

from dataclasses import replace

from shared.kafka_access import KafkaAccess

_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PATH = "<the file with our CA's certificate>"


def configurations(access: KafkaAccess, address: str, user: str, password: str) -> dict[str, str]:
    """Text by client: Java properties, properties of librdkafka, Python for aiokafka.

    `access` is our own way to the brokers, which says the protocol; `address` is the unit's. Consumer groups
    have to begin with the user's name and a dot.
    """
    theirs = replace(
        access,
        bootstrap=address,
        username=user,
        password=password,
        password_file=None,
        mechanism="SCRAM-SHA-512",
    )
    own_ca = theirs.ca_file is not None
    plain = replace(theirs, ca_file=None, certificate_file=None, key_file=None).librdkafka_options()
    plain["group.id"] = f"{user}.main"
    java = {name: plain[name] for name in ("bootstrap.servers", "security.protocol", "group.id")}
    java["sasl.mechanism"] = theirs.mechanism
    java["sasl.jaas.config"] = f'{_LOGIN} required username="{user}" password="{password}";'
    python = [
        f'bootstrap_servers="{address}",',
        f'security_protocol="{theirs.protocol}",',
        f'sasl_mechanism="{theirs.mechanism}",',
        f'sasl_plain_username="{user}",',
        f'sasl_plain_password="{password}",',
        f'group_id="{plain["group.id"]}",',
    ]
    if own_ca:
        plain["ssl.ca.location"] = _PATH
        java |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": _PATH}
        python.append(f'ssl_context=ssl.create_default_context(cafile="{_PATH}"),')
    elif theirs.protocol.endswith("SSL"):
        python.append("ssl_context=ssl.create_default_context(),")
    return {
        "Java": "\n".join(f"{name}={value}" for name, value in java.items()),
        "librdkafka": "\n".join(f"{name}={value}" for name, value in plain.items()),
        "aiokafka": "\n".join(python),
    }
