"""The state of the web edge: created once by `create_app`, found from any request."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse

from shared.web.api_keys import ApiKeys
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT, RateLimit
from shared.web.session import Sessions
from shared.web.settings import WebSettings


class Renderer(Protocol):
    """The part of `Pages` that the edge needs to show problems as pages."""

    def render(self, request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The template `name` as a response."""
        ...


UnitName = Callable[[str, str], str]
"""The code of a unit and a language -> the unit's name in that language."""


@dataclass(frozen=True, slots=True)
class WebState:
    """The state of one application, in `app.state.web`; the attributes are those of `create_app`.

    `wrong_keys` limits, per client, the API keys that nobody has.
    """

    settings: WebSettings
    sessions: Sessions
    csrf_key: bytes
    api_keys: ApiKeys
    pages: Renderer
    unit_name: UnitName
    wrong_keys: RateLimit = field(default_factory=lambda: RateLimit(*WRONG_SECRETS_PER_CLIENT))


def web_state(request: Request) -> WebState:
    """The state of the application that serves this request."""
    state: WebState = request.app.state.web
    return state
