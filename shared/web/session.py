"""Who is signed in: one encrypted, short-lived cookie that every service reads. There is no session table."""

import datetime as dt
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from shared.clock import UTC, machine_now
from shared.web.sealed import Sealer
from shared.web.settings import WebSettings

IDLE_SECONDS = 60 * 60
LONGEST_SECONDS = (
    12 * 60 * 60
)  # a working day; then the provider is asked again whether the person still works here


@dataclass(frozen=True, slots=True)
class Person:
    """A person signed in at the provider. `unit` is the code of the department that an officer works for."""

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
    """Writes and reads the session cookie."""

    def __init__(self, settings: WebSettings) -> None:
        self._sealer = Sealer(settings.key("session"), "session")
        self._secure = settings.https
        # The prefix makes browsers refuse a cookie that another host or an unencrypted page has set (RFC
        # 6265bis).
        self.cookie = "__Host-session" if settings.https else "session"

    def person(self, request: Request) -> Person | None:
        """The person of the request's cookie; None for no cookie, or one that is over or not ours."""
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
        """When the session of the request's cookie is over (machine time); None for who has none."""
        opened = self._sealer.open_until(request.cookies.get(self.cookie, ""))
        return opened[1] if opened else None

    def sign_in(self, response: Response, person: Person) -> None:
        """Sets the cookie, for an hour from now and never beyond a working day from the sign-in."""
        left = LONGEST_SECONDS - int((machine_now() - person.signed_in).total_seconds())
        seconds = min(IDLE_SECONDS, left)
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
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
