"""The caller of a request (person, machine or anonymous), and dependencies by which routes admit callers."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from shared.clock import machine_now
from shared.errors import CivicloomError
from shared.web.api_keys import Machine
from shared.web.clients import client_of
from shared.web.problems import Problem, wants_page
from shared.web.session import Person
from shared.web.state import web_state


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A caller with neither session nor API key: usually a citizen."""

    actor: str = "anonymous"


Caller = Person | Machine | Anonymous


class SignInNeeded(CivicloomError):
    """A person without a session opened a page that needs one.

    Parameters
    ----------
    location
        The address of the sign-in, which leads back to the page.
    """

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def current_person(request: Request) -> Person | None:
    """The signed-in person, if any."""
    return web_state(request).sessions.person(request)


def caller(request: Request) -> Caller:
    """The caller. Raises Problem 401 for an API key that is unknown or has ended, since a wrong key must not
    count as no key; 403 for one without a scope.

    After too many wrong ones of a client, Problem 429 instead; a right one is never refused.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        machine = web_state(request).api_keys.machine(key.strip())
        if machine is None:
            web_state(request).wrong_keys.take(client_of(request))
            raise _invalid_key("unknown-key", "The API key is not known")
        if machine.not_after is not None and machine.not_after <= machine_now():
            raise _invalid_key("ended-key", "The API key has ended")
        if not machine.scopes:
            raise Problem(403, "missing-scope", "The API key does not allow this", "It has no scope.")
        return machine
    return current_person(request) or Anonymous()


# Dependencies are coroutines: FastAPI calls a plain function in a thread, a hop dearer than what these do.


def access_end(request: Request) -> dt.datetime | None:
    """When the caller's access ends (machine time), for streams; None if it does not.

    API keys are read when the process starts, so revoking one restarts the process and ends its streams.
    """
    calling = caller(request)
    return calling.not_after if isinstance(calling, Machine) else web_state(request).sessions.end(request)


def require(*roles: str) -> Callable[[Request], Awaitable[Person]]:
    """A dependency that gives the signed-in person; with `roles`, only a person who has one of them.

    A browser without a session is sent to /login and back (SignInNeeded); an API answers 401. Another role is
    403.
    """

    async def dependency(request: Request) -> Person:
        person = current_person(request)
        if person is None:
            raise _unauthenticated(request)
        return _with_role(person, roles)

    return dependency


def require_scope(scope: str) -> Callable[[Request], Awaitable[Machine]]:
    """A dependency that gives a machine whose key has `scope`; 401 without a key, 403 without the scope."""

    async def dependency(request: Request) -> Machine:
        calling = caller(request)
        if not isinstance(calling, Machine):
            raise _unauthenticated(request)
        return _with_scope(calling, scope)

    return dependency


def require_caller(*roles: str, scope: str) -> Callable[[Request], Awaitable[Person | Machine]]:
    """A dependency that gives a person with one of `roles`, or a machine whose key has `scope`."""

    async def dependency(request: Request) -> Person | Machine:
        match caller(request):
            case Machine() as machine:
                return _with_scope(machine, scope)
            case Person() as person:
                return _with_role(person, roles)
            case Anonymous():
                raise _unauthenticated(request)

    return dependency


def _with_role(person: Person, roles: tuple[str, ...]) -> Person:
    if roles and person.roles.isdisjoint(roles):
        raise Problem(
            403,
            "wrong-role",
            "Your role does not allow this",
            f"Needed is one of: {', '.join(roles)}.",
            roles=list(roles),
        )
    return person


def _with_scope(machine: Machine, scope: str) -> Machine:
    if scope not in machine.scopes:
        raise Problem(
            403, "missing-scope", "The API key does not allow this", f"Needed scope: {scope}.", scope=scope
        )
    return machine


def _invalid_key(slug: str, title: str) -> Problem:
    return Problem(401, slug, title, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _unauthenticated(request: Request) -> Exception:
    if wants_page(request) and request.method in ("GET", "HEAD"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return SignInNeeded("/login?" + urlencode({"next": here}))
    return Problem(
        401,
        "sign-in-needed",
        "You are not signed in",
        "Sign in at /login, or send an API key as `Authorization: Bearer`.",
        headers={"WWW-Authenticate": "Bearer"},
    )
