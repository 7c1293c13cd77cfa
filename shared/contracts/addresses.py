"""The topics' logical names, and their names on a broker."""

import re
from functools import lru_cache

ADDRESSES = {
    "inquiry": "{namespace}.inquiry.v1",
    "routing": "{namespace}.routing.v1",
    "publisher": "{namespace}.publisher.v1",
    "audit": "{namespace}.audit.v1",
    "contact": "{namespace}.contact.v1",
    "department": "{namespace}.department.{code}.v1",
    "actions": "{namespace}.department.{code}.actions.v1",
}
"""Logical name -> address. One with `{code}` exists once for every unit that uses Kafka."""

TEMPLATES = frozenset(name for name, address in ADDRESSES.items() if "{code}" in address)

_NAMESPACE = re.compile(r"[a-z0-9-]+")
_CODE = re.compile(r"[a-z0-9-]{1,64}")
_UNIT_TOPIC = re.compile(r"[a-z0-9-]+\.department\.([a-z0-9-]+)(?:\.actions)?\.v1")


@lru_cache(maxsize=4096)
def topic_name(namespace: str, logical: str, code: str | None = None) -> str:
    """The topic of a logical name; `code` is the unit's, only for `department` and `actions`.

    Raises ValueError for an unknown logical name, for a missing or superfluous code, and for a namespace or
    code that Kafka or routing's pattern of unit topics does not accept.
    """
    if logical not in ADDRESSES:
        raise ValueError(f"unknown topic {logical!r}: one of {', '.join(ADDRESSES)}")
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r} must match [a-z0-9-]+")
    if (code is not None) != (logical in TEMPLATES):
        raise ValueError(f"topic {logical!r} {'needs' if logical in TEMPLATES else 'has no'} unit code")
    if code is not None and not _CODE.fullmatch(code):
        raise ValueError(f"unit code {code!r} must match [a-z0-9-]{{1,64}}")
    return ADDRESSES[logical].format(namespace=namespace, code=code)


def code_of(topic: str) -> str | None:
    """The unit's code in the name of its topic or its actions topic; None for all other topics."""
    found = _UNIT_TOPIC.fullmatch(topic)
    return found.group(1) if found else None
