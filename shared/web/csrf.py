"""CSRF tokens: a form carries an HMAC of a cookie and of the signed-in person.

A foreign site can make a browser send our cookies, but can neither read the cookie nor compute the token.
Each form has a mask of its own: pages are compressed, and a secret that stays the same beside text that a
stranger chose shows in the length of the answers (BREACH).
"""

import hashlib
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from shared.web.callers import current_person
from shared.web.problems import Problem
from shared.web.state import web_state

CSRF_FIELD = "csrf"
_BYTES = hashlib.sha256().digest_size
_COOKIE_SECONDS = 24 * 60 * 60
_FRESH = "csrf_cookie"


def csrf_token(request: Request) -> str:
    """A token for one form on this page. `Pages.render` sets its cookie by `keep_csrf_cookie`."""
    cookie = request.cookies.get(_cookie_name(request)) or getattr(request.state, _FRESH, None)
    if not cookie:
        cookie = secrets.token_urlsafe(24)
        setattr(request.state, _FRESH, cookie)
    mask = secrets.token_bytes(_BYTES)
    return (mask + _masked(_token(request, cookie), mask)).hex()


def keep_csrf_cookie(request: Request, response: Response) -> None:
    """Sets the cookie of a token that was created during this request."""
    cookie = getattr(request.state, _FRESH, None)
    if cookie:
        response.set_cookie(
            _cookie_name(request),
            cookie,
            max_age=_COOKIE_SECONDS,
            path="/",
            secure=web_state(request).settings.https,
            httponly=True,
            samesite="lax",
        )


def check_csrf(request: Request, token: str) -> None:
    """Raises Problem 403 unless the token was created for this browser and this person."""
    cookie = request.cookies.get(_cookie_name(request), "")
    if not cookie or not hmac.compare_digest(_token(request, cookie), _unmasked(token)):
        raise Problem(
            403,
            "form-expired",
            "This form can no longer be sent",
            "It was opened too long ago, or you have signed in or out since. Open the page again.",
        )


def _cookie_name(request: Request) -> str:
    return "__Host-form" if web_state(request).settings.https else "form"


def _masked(token: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(token, mask, strict=True))


def _unmasked(text: str) -> bytes:
    """The token in a form's field; empty for text that is none."""
    try:
        sent = bytes.fromhex(text)
    except ValueError:
        return b""
    if len(sent) == _BYTES:
        return sent  # of a page that a release before 2026-12 made, and that is still open
    return _masked(sent[_BYTES:], sent[:_BYTES]) if len(sent) == 2 * _BYTES else b""


def _token(request: Request, cookie: str) -> bytes:
    person = current_person(request)
    whose = f"{person.subject} {person.signed_in.isoformat()}" if person else ""
    return hmac.new(web_state(request).csrf_key, f"{cookie}\0{whose}".encode(), hashlib.sha256).digest()
