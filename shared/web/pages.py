"""Pages rendered on the server, from a service's own templates over the shared ones."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from shared.web import site, times
from shared.web.callers import current_person
from shared.web.csrf import CSRF_FIELD, csrf_token, keep_csrf_cookie
from shared.web.i18n import LANGUAGE_COOKIE, LANGUAGES, MessageCatalogue, language_of
from shared.web.state import web_state
from shared.web.static import static_url

_SHARED_TEMPLATES = Path(__file__).parent / "templates"
_LANGUAGE_SECONDS = 365 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class _View:
    """The request and the reader of the page that is being rendered."""

    request: Request
    catalogue: MessageCatalogue
    language: str
    zone: ZoneInfo

    def text(self, key: str, **params: object) -> str:
        return self.catalogue.text(self.language, key, **params)


# The macros of the global `ui` are compiled once for all requests: they find the reader here.
_view: ContextVar[_View] = ContextVar("view")


class Pages:
    """The pages of one service: templates in `<package>/pages`, texts in `pages/messages/{zh,en}.yaml`.

    Every template has these globals: `t(key, **params)`, `first_text(keys)`, the components `ui.*`,
    `static(name)`, `exact(moment)`, `short(moment)`, `relative(moment, now)`,
    `remaining(shared.policy.remaining.Remaining)`, `csrf()`, `csrf_field`, `is_current(link, path)`. `render`
    adds `person`, `own_unit` (the name of the person's unit), `language`, `languages`, `path`, the links of
    the navigation, and `failed`: a form came back with errors, which the title then says first.

    Parameters
    ----------
    package
        The Python package that has the folder `pages`; without one only the shared templates are found.

    Raises
    ------
    ValueError
        if the package has no folder `pages`, or a message file is not a flat mapping of strings.
    """

    def __init__(self, package: str | None = None) -> None:
        folders = [_pages_of(package)] if package else []
        self.catalogue = MessageCatalogue.load(
            folder / "messages" for folder in folders if (folder / "messages").is_dir()
        )
        self._environment = _environment(tuple(folders))

    def render(self, request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The template `name` as a response, in the reader's language.

        It also sets cookies: the session is prolonged, a language chosen by `?lang=` is kept, and forms get
        their CSRF cookie. Raises jinja2.UndefinedError for a variable that `context` lacks.
        """
        state = web_state(request)
        language = language_of(request, state.settings.language)
        person = current_person(request)
        token = _view.set(_View(request, self.catalogue, language, ZoneInfo(state.settings.time_zone)))
        try:
            html = self._environment.get_template(name).render(
                {
                    "person": person,
                    "own_unit": state.unit_name(person.unit, language) if person and person.unit else None,
                    "language": language,
                    "languages": [(each, _in_language(request, each)) for each in LANGUAGES],
                    "path": request.url.path,
                    "failed": status == 422,
                    "nav": site.PUBLIC,
                    "staff_nav": site.staff_links(person.roles) if person else [],
                    "footer_nav": site.FOOTER,
                    "sign_in_href": "/login?" + urlencode({"next": request.url.path}),
                    **context,
                }
            )
        finally:
            _view.reset(token)
        response = HTMLResponse(
            html, status, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"}
        )
        keep_csrf_cookie(request, response)
        if request.query_params.get("lang") == language:
            response.set_cookie(
                LANGUAGE_COOKIE,
                language,
                max_age=_LANGUAGE_SECONDS,
                secure=state.settings.https,
                httponly=True,
                samesite="lax",
            )
        if person is not None:
            state.sessions.sign_in(response, person)
        return response


@cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    """One for each set of folders: it compiles every template once in a process."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _SHARED_TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(
        t=_text,
        first_text=_first_text,
        static=static_url,
        csrf=lambda: csrf_token(_view.get().request),
        csrf_field=CSRF_FIELD,
        exact=lambda moment: times.exact(moment, _view.get().zone, _view.get().language),
        short=lambda moment: times.short(moment, _view.get().zone),
        relative=lambda moment, now: times.relative(moment, now, _view.get().text),
        remaining=lambda found: times.remaining(found, _view.get().text),
        is_current=site.is_current,
    )
    environment.globals["ui"] = environment.get_template("components.html").module
    return environment


def _pages_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no package {package}")
    folder = Path(spec.origin).parent / "pages"
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing: the pages of {package} go there")
    return folder


def _text(key: str, **params: object) -> str:
    return _view.get().text(key, **params)


def _first_text(keys: Iterable[str], **params: object) -> str | None:
    """The text of the first key that exists; None if none does."""
    view = _view.get()
    return next((view.text(key, **params) for key in keys if view.catalogue.has(key)), None)


def _in_language(request: Request, language: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return f"{request.url.path}?{urlencode([*query, ('lang', language)])}"
