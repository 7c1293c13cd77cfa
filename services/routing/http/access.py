"""What a caller may see and do at routing's URLs."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from shared.web.api_keys import Machine
from shared.web.callers import Anonymous, caller
from shared.web.problems import Problem
from shared.web.session import Person

SEE_ALL = frozenset({"dispatcher", "oversight"})
"""Roles that read every unit's cases; only a unit's own staff acts for it. Operators keep the services
running and need not read cases for that."""
_SCOPE = "unit:"


@dataclass(frozen=True, slots=True)
class Access:
    """What a known caller may do: act for the units `acts_for` and read their cases, or read all cases."""

    actor: str
    acts_for: frozenset[str]
    sees_all: bool

    def sees(self, unit: str) -> bool:
        return self.sees_all or unit in self.acts_for


async def access(request: Request) -> Access:
    """A dependency: an officer with a unit, a role that sees all, or a machine with scopes `unit:<code>`.

    Raises Problem 401 for an unknown caller, 403 for one without any of these.
    """
    known = caller(request)
    match known:
        case Person():
            units = {known.unit} if known.unit and "officer" in known.roles else set()
            sees_all = not SEE_ALL.isdisjoint(known.roles)
        case Machine():
            units = {scope.removeprefix(_SCOPE) for scope in known.scopes if scope.startswith(_SCOPE)}
            if known.unit is not None:
                units &= {known.unit}
            sees_all = "dispatch" in known.scopes
        case Anonymous():
            raise Problem(
                401,
                "sign-in-needed",
                "You are not signed in",
                "Sign in at /login, or send an API key as `Authorization: Bearer`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
    if not units and not sees_all:
        raise Problem(
            403,
            "no-unit",
            "You do not act for any department",
            "Needed is the role officer with a unit, or an API key with a scope unit:<code>.",
        )
    return Access(known.actor, frozenset(units), sees_all)


AccessDep = Annotated[Access, Depends(access)]


def key_scope(actor: str, unit: str | None) -> str:
    """Whose idempotency keys an act's key is among: an actor who acts for another unit has others."""
    return actor if unit is None else f"{actor} for {unit}"


def unit_to_act_for(granted: Access, wanted: str | None) -> str:
    """The unit that the caller acts for; with several, `wanted` is needed. Raises Problem 403 or 422."""
    if wanted is not None:
        if wanted not in granted.acts_for:
            raise Problem(403, "not-your-unit", "You do not act for this department", f"Unit: {wanted}.")
        return wanted
    if not granted.acts_for:
        raise Problem(403, "no-unit", "You do not act for any department")
    if len(granted.acts_for) > 1:
        raise Problem(
            422,
            "which-unit",
            "You act for several departments",
            "Name the one with the parameter `unit`.",
            units=sorted(granted.acts_for),
        )
    return next(iter(granted.acts_for))


def unit_to_read(granted: Access, wanted: str | None) -> str:
    """The unit whose cases are listed. Raises Problem 403 or 422."""
    if wanted is None and granted.sees_all and not granted.acts_for:
        raise Problem(422, "which-unit", "You see all departments", "Name one with the parameter `unit`.")
    if wanted is None:
        return unit_to_act_for(granted, None)
    if not granted.sees(wanted):
        raise Problem(403, "not-your-unit", "These cases are not your department's", f"Unit: {wanted}.")
    return wanted
