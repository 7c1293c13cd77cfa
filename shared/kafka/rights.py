"""Who may do what on the brokers, derived from the contract: writers, readers, and the pack's units.

Nobody has a right that is not derived here, but the operator, who is a super user of the brokers. A user is
named like its topics: `civic.routing`, `civic.department.water`. No name of a service and no
consumer group of one begins like a unit's, whatever codes the units have.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from shared.contracts.addresses import TEMPLATES, topic_name
from shared.contracts.readers import CONSUMERS, readers
from shared.contracts.registry import writers

UNIT = "unit"
_UNREAD = frozenset({"contact"})
"""Topics that not even their writer reads: contact points are for publisher alone."""


class Right(NamedTuple):
    """One ACL, in Kafka's words: READ, TOPIC, LITERAL; `host` is a client's address."""

    user: str
    operation: str
    resource: str
    name: str
    pattern: str = "LITERAL"
    permission: str = "ALLOW"
    host: str = "*"

    def __str__(self) -> str:
        verb = "may" if self.permission == "ALLOW" else "must not"
        names = f"{self.name}*" if self.pattern == "PREFIXED" else self.name
        where = "" if self.host == "*" else f" from {self.host}"
        return f"{self.user} {verb} {self.operation} {self.resource} {names}{where}"


@dataclass(frozen=True, slots=True)
class RightChange:
    """A difference. `refuse`: somebody who is not ours has a right on what is ours; an operator decides."""

    right: Right
    action: Literal["grant", "revoke", "refuse"]


def service_user(namespace: str, service: str) -> str:
    """The brokers' name of a service."""
    return f"{namespace}.{service}"


def unit_user(namespace: str, code: str) -> str:
    """The brokers' name of a unit's system. Raises ValueError for a code that cannot be one."""
    return topic_name(namespace, "department", code).removesuffix(".v1")


def wanted_rights(namespace: str, units: Iterable[str]) -> frozenset[Right]:
    """All rights of an installation; `units` are the codes of those that use Kafka.

    A service writes its topics, reads them again (to see after a restart what it has sent), reads what the
    table of readers says, and has consumer groups that begin with its name. A unit reads its topic, writes
    its actions, and has groups that begin with its name and a dot.
    """
    codes = list(units)
    rights = set()
    for who, logical in writers():
        for user, topic in _pairs(namespace, who, logical, codes):
            rights.add(Right(user, "WRITE", "TOPIC", topic))
            if who != UNIT and logical not in _UNREAD:
                rights.add(Right(user, "READ", "TOPIC", topic))
    for who, topics in readers().items():
        for logical in topics:
            for user, topic in _pairs(namespace, who, logical, codes):
                rights.add(Right(user, "READ", "TOPIC", topic))
        if CONSUMERS.get(who):
            user = service_user(namespace, who)
            rights.add(Right(user, "READ", "GROUP", user, "PREFIXED"))
    for user in (unit_user(namespace, code) for code in codes):
        rights.add(Right(user, "READ", "GROUP", f"{user}.", "PREFIXED"))
    return frozenset(rights)


def plan_rights(wanted: frozenset[Right], existing: Iterable[Right], namespace: str) -> list[RightChange]:
    """What has to change, sorted: users of this namespace get and keep what is wanted, and nothing else."""
    found = frozenset(existing)
    changes = [RightChange(right, "grant") for right in wanted - found]
    for right in found - wanted:
        if right.user.startswith(f"{namespace}."):
            changes.append(RightChange(right, "revoke"))
        elif _touches(right, namespace):
            changes.append(RightChange(right, "refuse"))
    return sorted(changes, key=lambda change: (change.action, change.right))


def _pairs(namespace: str, who: str, logical: str, codes: list[str]) -> list[tuple[str, str]]:
    """(user, topic) for a logical topic of a service or of every unit."""
    if logical not in TEMPLATES:
        return [(service_user(namespace, who), topic_name(namespace, logical))]
    topics = [(code, topic_name(namespace, logical, code)) for code in codes]
    if who == UNIT:
        return [(unit_user(namespace, code), topic) for code, topic in topics]
    return [(service_user(namespace, who), topic) for _, topic in topics]


def _touches(right: Right, namespace: str) -> bool:
    """Whether it is a right on something of this namespace, or on everything."""
    ours = f"{namespace}."
    if right.pattern == "PREFIXED":
        return right.name.startswith(ours) or ours.startswith(right.name)
    return right.name.startswith(ours) or right.name == "*"
