"""Two languages by flat YAML files of key to text, and the choice of the reader's language."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import yaml
from babel import negotiate_locale
from starlette.requests import Request

from shared.logs import get_logger

LANGUAGES = ("zh", "en")
LANGUAGE_COOKIE = "language"

_SHARED_MESSAGES = Path(__file__).parent / "messages"
# A language range and its weight with optional white space (RFC 9110 sections 12.4.2 and 12.5.4).
_RANGE = re.compile(
    r"\s*(?P<range>\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*)\s*(?:;\s*q=(?P<weight>0(?:\.\d*)?|1(?:\.0*)?)\s*)?",
    re.IGNORECASE | re.ASCII,
)
_MOST_RANGES = 20
_log = get_logger(__name__)


class MessageCatalogue:
    """Texts by language and key.

    Parameters
    ----------
    texts
        By language, then by key.
    """

    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = texts

    @classmethod
    def load(cls, folders: Iterable[Path] = ()) -> "MessageCatalogue":
        """The shared texts, overridden key by key by those of `folders` in their order.

        Each folder has zh.yaml and en.yaml. Raises ValueError with the file's name if one is not a flat
        mapping of strings.
        """
        texts: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
        for folder in (_SHARED_MESSAGES, *folders):
            for language in LANGUAGES:
                texts[language].update(_read(folder / f"{language}.yaml"))
        return cls(texts)

    def keys(self, language: str) -> frozenset[str]:
        return frozenset(self._texts[language])

    def template(self, language: str, key: str) -> str:
        """The text as in the file, with its blanks. Raises KeyError."""
        return self._texts[language][key]

    def has(self, key: str) -> bool:
        """Whether every language has the key or its counted form."""
        return all(key in texts or f"{key}.other" in texts for texts in self._texts.values())

    def text(self, language: str, key: str, **params: object) -> str:
        """The text of `key` with each `{name}` filled from `params`.

        With `count` it is the text of `key.one` or `key.other`. A missing text is logged as an error and
        shown as its key, which is better for a reader than an error page.
        """
        texts = self._texts[language]
        if "count" in params and key not in texts:
            key = f"{key}.one" if params["count"] == 1 and f"{key}.one" in texts else f"{key}.other"
        template = texts.get(key)
        if template is None:
            _log.error("a text is missing", key=key, language=language)
            return key
        return template.format(**params) if params else template


@cache
def _read(path: Path) -> Mapping[str, str]:
    loaded = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(text, str) for key, text in loaded.items()
    ):
        raise ValueError(f"{path}: a message file is a flat mapping of keys to strings")
    return loaded


def language_of(request: Request, default: str) -> str:
    """The reader's language: `?lang=`, else the cookie, else Accept-Language, else `default`."""
    for choice in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if choice in LANGUAGES:
            return choice
    return accepted_language(request.headers.get("accept-language", ""), default) or default


def accepted_language(header: str, default: str) -> str | None:
    """The best of our languages by an Accept-Language header; None if the header accepts none of them.

    RFC 9110 section 12.5.4: ranges count by weight, equal ones in their order; weight 0 excludes a language;
    `*` is every language that no other range names, of which `default` comes first. A range matches a
    language by its primary subtag (`en-GB`, `zh-Hant-TW`). Malformed ranges are ignored.
    """
    ranges = [
        (float(found["weight"] or 1), found["range"].lower())
        for found in map(_RANGE.fullmatch, header.split(",")[:_MOST_RANGES])
        if found
    ]
    named = {accepted.partition("-")[0] for _, accepted in ranges}
    others = [language for language in dict.fromkeys([default, *LANGUAGES]) if language not in named]
    preferred: list[str] = []
    for weight, accepted in sorted(ranges, key=lambda each: -each[0]):
        if weight > 0:
            preferred += others if accepted == "*" else [accepted]
    return negotiate_locale(preferred, LANGUAGES, sep="-")
