"""The brokers' users and ACLs, by librdkafka: aiokafka's administrator knows neither."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from shared.kafka.admin import BrokerRefused
from shared.kafka.refusal import refusal
from shared.kafka.rights import Right
from shared.kafka_access import KafkaAccess

_SECONDS = 15.0
_SCRAM = ScramMechanism.SCRAM_SHA_512
_ITERATIONS = 4096  # the least that Kafka takes; a password of ours has 256 bits, so more would add nothing
_PRINCIPAL = "User:"
_TIMEOUT: dict[str, Any] = {"request_timeout": _SECONDS}
_ANYTHING: tuple[Any, ...] = (
    ResourceType.ANY,
    None,
    ResourcePatternType.ANY,
    None,
    None,
    AclOperation.ANY,
    AclPermissionType.ANY,
)
_ALL = AclBindingFilter(*_ANYTHING)


class Authority:
    """An operator's view of users and rights. Every method raises BrokerRefused with the broker's reason."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._client: AdminClient | None = None

    async def rights(self) -> set[Right]:
        """All ACLs of the brokers, also those of other installations."""
        found = await self._ask("list ACLs", lambda client: client.describe_acls(_ALL, **_TIMEOUT))
        return {_right(binding) for binding in found}

    async def grant(self, rights: Iterable[Right]) -> None:
        bindings = [AclBinding(*_parts(right)) for right in rights]
        if bindings:
            await self._ask("create ACLs", lambda client: client.create_acls(bindings, **_TIMEOUT))

    async def revoke(self, rights: Iterable[Right]) -> None:
        filters = [AclBindingFilter(*_parts(right)) for right in rights]
        if filters:
            await self._ask("delete ACLs", lambda client: client.delete_acls(filters, **_TIMEOUT))

    async def users(self) -> set[str]:
        """The names of all SCRAM users."""
        found = await self._ask(
            "list users", lambda client: client.describe_user_scram_credentials(**_TIMEOUT)
        )
        return set(found)

    async def set_password(self, user: str) -> str:
        """Gives a user, who may be new, a new password, and returns it: it is kept nowhere."""
        password = secrets.token_urlsafe(32)
        credential = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(_SCRAM, _ITERATIONS), password.encode()
        )
        await self._ask(
            f"set the password of {user}", lambda client: client.alter_user_scram_credentials([credential])
        )
        return password

    async def remove_user(self, user: str) -> None:
        """Takes all rights of a user, which binds connections that stand, and then the password."""
        await self.revoke([right for right in await self.rights() if right.user == user])
        if user in await self.users():
            deletion = UserScramCredentialDeletion(user, _SCRAM)
            await self._ask(f"remove {user}", lambda client: client.alter_user_scram_credentials([deletion]))

    async def _ask(self, purpose: str, request: Callable[[AdminClient], Any]) -> Any:
        # librdkafka tries a wrong password again and again, and says of it only that time is up.
        if self._client is None and (reason := await refusal(self._access)):
            raise BrokerRefused(reason)
        try:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connected)
            return await asyncio.to_thread(_answered, request, self._client)
        except KafkaException as error:
            reason = error.args[0].str() if error.args else repr(error)
            raise BrokerRefused(
                f"the broker at {self._access.bootstrap} did not {purpose}: {reason}"
            ) from error

    def _connected(self) -> AdminClient:
        """A client that may administer: of one that may not, confluent-kafka 2.16 crashes or says nothing."""
        client = AdminClient(dict(self._access.librdkafka_options()))
        cluster = _answered(lambda one: one.describe_cluster(include_authorized_operations=True), client)
        if not {AclOperation.ALTER, AclOperation.DESCRIBE} <= set(cluster.authorized_operations or ()):
            user = self._access.username or "ANONYMOUS"
            raise BrokerRefused(f"the Kafka user {user} may not administer users and rights")
        return client


def _answered(request: Callable[[AdminClient], Any], client: AdminClient) -> Any:
    """The result, of a single future or of several."""
    answer = request(client)
    if isinstance(answer, dict):
        return [future.result(_SECONDS) for future in answer.values()]
    return answer.result(_SECONDS)


def _parts(right: Right) -> tuple[Any, ...]:
    """As `AclBinding` and its filter take them."""
    return (
        ResourceType[right.resource],
        right.name,
        ResourcePatternType[right.pattern],
        _PRINCIPAL + right.user,
        right.host,
        AclOperation[right.operation],
        AclPermissionType[right.permission],
    )


def _right(binding: Any) -> Right:
    return Right(
        binding.principal.removeprefix(_PRINCIPAL),
        binding.operation.name,
        binding.restype.name,
        binding.name,
        binding.resource_pattern_type.name,
        binding.permission_type.name,
        binding.host,
    )
