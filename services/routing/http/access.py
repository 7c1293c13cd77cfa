"""Who may see and do what at routing's addresses."""

from dataclasses import dataclass

from starlette.requests import Request

from shared.web.api_keys import Machine
from shared.web.callers import Anonymous, caller
from shared.web.problems import Problem
from shared.web.session import Person

SEE_ALL = frozenset({"dispatcher", "oversight"})
"""Roles that read every unit's cases; only a unit's own people act for it. An operator keeps
the services running and needs to read no case for that."""
_SCOPE = "unit:"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody known: which units' cases they may read (None: all) and which they may act for."""

    actor: str
    acts_for: frozenset[str]
    sees_all: bool

    def sees(self, unit: str) -> bool:
        return self.sees_all or unit in self.acts_for


def reader(request: Request) -> Reader:
    """A dependency: an officer with a unit, a role that sees all, or a machine with scopes `unit:<code>`.

    Raises Problem 401 for nobody known, 403 for somebody without any of these.
    """
    who = caller(request)
    match who:
        case Person():
            units = {who.unit} if who.unit and "officer" in who.roles else set()
            sees_all = not SEE_ALL.isdisjoint(who.roles)
        case Machine():
            units = {scope.removeprefix(_SCOPE) for scope in who.scopes if scope.startswith(_SCOPE)}
            if who.unit is not None:
                units &= {who.unit}
            sees_all = "dispatch" in who.scopes
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
    return Reader(who.actor, frozenset(units), sees_all)


def unit_to_act_for(who: Reader, wanted: str | None) -> str:
    """The unit that the caller acts for; one who may act for several names it. Raises Problem 403 or 422."""
    if wanted is not None:
        if wanted not in who.acts_for:
            raise Problem(403, "not-your-unit", "You do not act for this department", f"Unit: {wanted}.")
        return wanted
    if not who.acts_for:
        raise Problem(403, "no-unit", "You do not act for any department")
    if len(who.acts_for) > 1:
        raise Problem(
            422,
            "which-unit",
            "You act for several departments",
            "Name the one with the parameter `unit`.",
            units=sorted(who.acts_for),
        )
    return next(iter(who.acts_for))


def unit_to_read(who: Reader, wanted: str | None) -> str:
    """The unit whose cases are listed. Raises Problem 403 or 422."""
    if wanted is None and who.sees_all and not who.acts_for:
        raise Problem(422, "which-unit", "You see all departments", "Name one with the parameter `unit`.")
    if wanted is None:
        return unit_to_act_for(who, None)
    if not who.sees(wanted):
        raise Problem(403, "not-your-unit", "These cases are not your department's", f"Unit: {wanted}.")
    return wanted
