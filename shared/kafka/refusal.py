"""Why the brokers refuse us, in one sentence that names user, topic and operation.

aiokafka logs the cause of a failed connection and raises that no broker answered: so we connect once more and
look.
"""

import asyncio
import ssl

from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.kafka_access import AccessInvalid, KafkaAccess

_SECONDS = 5.0


async def explain(error: Exception, access: KafkaAccess, operation: str = "use") -> str:
    """The sentence for an error of a client that wanted to do `operation` with a topic or a group.

    Takes five seconds per broker at most, and only for an error of the connection.
    """
    if isinstance(error, AccessInvalid):
        return str(error)
    if right := missing_right(error, access, operation):
        return right
    if isinstance(error, KafkaConnectionError | OSError | TimeoutError):
        return await refusal(access) or f"the connection to {access.bootstrap} broke: {error}"
    return str(error)


def missing_right(error: Exception, access: KafkaAccess, operation: str) -> str | None:
    """That the user may not do `operation` with topics, a group or the cluster; None for any other error."""
    if isinstance(error, TopicAuthorizationFailedError):
        what = f"topic {_names(error)}"
    elif isinstance(error, GroupAuthorizationFailedError):
        operation, what = "join", f"consumer group {_names(error)}"
    elif isinstance(error, ClusterAuthorizationFailedError):
        # An idempotent producer's first request is refused to who may write nowhere.
        what = "any topic" if operation == "write to" else "the cluster"
    else:
        return None
    return f"the Kafka user {access.username or 'ANONYMOUS'} may not {operation} {what}"


async def refusal(access: KafkaAccess) -> str | None:
    """Why no broker takes a connection of ours; None if one does."""
    reasons = [await _refusal_of(access, address.strip()) for address in access.bootstrap.split(",")]
    return None if None in reasons else "; ".join(dict.fromkeys(str(reason) for reason in reasons))


async def _refusal_of(access: KafkaAccess, address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_SECONDS):
            await _ask(access, host.strip("[]"), int(port))
    except (KafkaError, OSError, TimeoutError) as error:
        return _reason(error, access, address)
    return None


async def _ask(access: KafkaAccess, host: str, port: int) -> None:
    options = access.options()
    del options["bootstrap_servers"]
    connection = await create_conn(host, port, **options)
    try:
        await connection.send(MetadataRequest([]))
    finally:
        await connection.close()


def _reason(error: Exception, access: KafkaAccess, address: str) -> str:
    broker = f"the Kafka broker at {address}"
    protocol = f"KAFKA_SECURITY_PROTOCOL={access.protocol}"
    match error:
        case AccessInvalid():
            reason = str(error)
        case SaslAuthenticationFailed():
            reason = f"{broker} does not take the password of user {access.username}"
        case UnsupportedSaslMechanismError():
            reason = f"{broker} does not know KAFKA_SASL_MECHANISM={access.mechanism}"
        case ssl.SSLCertVerificationError():
            reason = f"the certificate of {broker} is not taken: {error.verify_message} (KAFKA_CA_FILE)"
        case KafkaError() | ConnectionResetError() | ssl.SSLError():
            reason = f"{broker} ends the connection of a client with {protocol}"
        case _:
            reason = f"no Kafka broker answers at {address}"
    return reason


def _names(error: Exception) -> str:
    """The topics or the group that aiokafka names, which it does in several shapes."""
    named: list[str] = []
    for argument in error.args:
        named += [argument] if isinstance(argument, str) else [str(one) for one in argument]
    return ", ".join(sorted(named)) or "it"
