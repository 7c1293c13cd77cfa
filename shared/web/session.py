"""Sessions of signed-in people: an encrypted, short-lived cookie that every service reads, and no table."""

import datetime as dt
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from shared.clock import UTC, machine_now
from shared.web.sealed import Sealer
from shared.web.settings import WebSettings

IDLE_SECONDS = 60 * 60
# A working day; then the provider is asked again whether the person still works here.
LONGEST_SECONDS = 12 * 60 * 60


@dataclass(frozen=True, slots=True)
class Person:
    """A person signed in at the provider; `unit` is the code of the unit that an officer works for."""

    subject: str
    name: str
    roles: frozenset[str]
    unit: str | None
    signed_in: dt.datetime

    @property
    def actor(self) -> str:
        """How events name the person."""
        return f"person:{self.subject}"


class Sessions:
    """Writes and reads the session cookie.

    Parameters
    ----------
    settings
        Give the key, and whether browsers reach us by https: then the cookie is bound to host and encryption.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._sealer = Sealer(settings.key("session"), "session")
        self._secure = settings.https
        # By the prefix browsers refuse a cookie that another host or an unencrypted page set (RFC 6265bis).
        self.cookie = "__Host-session" if settings.https else "session"

    def person(self, request: Request) -> Person | None:
        """The person of the request's cookie; None if there is none, or it has expired or is not ours."""
        content = self._sealer.open(request.cookies.get(self.cookie, ""))
        if content is None:
            return None
        return Person(
            content["sub"],
            content["name"],
            frozenset(content["roles"]),
            content["unit"],
            dt.datetime.fromtimestamp(content["in"], UTC),
        )

    def end(self, request: Request) -> dt.datetime | None:
        """When the session of the request's cookie expires (machine time); None without a session."""
        opened = self._sealer.open_until(request.cookies.get(self.cookie, ""))
        return opened[1] if opened else None

    def sign_in(self, response: Response, person: Person) -> None:
        """Sets the cookie for `IDLE_SECONDS`, but never beyond `LONGEST_SECONDS` after the sign-in."""
        remaining = LONGEST_SECONDS - int((machine_now() - person.signed_in).total_seconds())
        seconds = min(IDLE_SECONDS, remaining)
        if seconds <= 0:
            return
        content = {
            "sub": person.subject,
            "name": person.name,
            "roles": sorted(person.roles),
            "unit": person.unit,
            "in": int(person.signed_in.timestamp()),
        }
        response.set_cookie(
            self.cookie,
            self._sealer.seal(content, seconds),
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def sign_out(self, response: Response) -> None:
        """Deletes the cookie."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
