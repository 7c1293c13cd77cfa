"""Two languages by plain catalogues: flat YAML files of key to text, one per language and folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from starlette.requests import Request

from shared.logs import get_logger

LANGUAGES = ("zh", "en")
LANGUAGE_COOKIE = "language"

_SHARED_MESSAGES = Path(__file__).parent / "messages"
_log = get_logger(__name__)


class Catalogue:
    """Texts by language and key. A later folder overrides an earlier one key by key."""

    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = texts

    @classmethod
    def load(cls, folders: Iterable[Path] = ()) -> "Catalogue":
        """The shared texts with those of `folders` (each holding zh.yaml and en.yaml) over them.

        Raises ValueError naming the file if one is not a flat mapping of strings.
        """
        texts: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
        for folder in (_SHARED_MESSAGES, *folders):
            for language in LANGUAGES:
                texts[language].update(_read(folder / f"{language}.yaml"))
        return cls(texts)

    def keys(self, language: str) -> frozenset[str]:
        return frozenset(self._texts[language])

    def template(self, language: str, key: str) -> str:
        """The text as it stands in the file. Raises KeyError."""
        return self._texts[language][key]

    def has(self, key: str) -> bool:
        """Whether the key, or its counted form, is in every language."""
        return all(key in texts or f"{key}.other" in texts for texts in self._texts.values())

    def text(self, language: str, key: str, **params: object) -> str:
        """The text of `key` with `{name}` filled from `params`.

        With `count` the form `key.one` or `key.other` is taken. A missing text is an error in the log and
        shows as its key: a reader loses less by that than by an error page.
        """
        texts = self._texts[language]
        if "count" in params and key not in texts:
            key = f"{key}.one" if params["count"] == 1 and f"{key}.one" in texts else f"{key}.other"
        template = texts.get(key)
        if template is None:
            _log.error("a text is missing", key=key, language=language)
            return key
        return template.format(**params) if params else template


def _read(path: Path) -> dict[str, str]:
    loaded = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(text, str) for key, text in loaded.items()
    ):
        raise ValueError(f"{path}: a message file is a flat mapping of keys to strings")
    return loaded


def language_of(request: Request, default: str) -> str:
    """The reader's language: `?lang=`, the cookie, Accept-Language (RFC 9110 12.5.4), `default`."""
    for wish in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if wish in LANGUAGES:
            return wish
    return _accepted(request.headers.get("accept-language", "")) or default


def _accepted(header: str) -> str | None:
    best: tuple[float, str] | None = None
    for part in header.split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        language = tag.split("-")[0].strip().lower()
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if language in LANGUAGES and 0 < weight <= 1 and (best is None or weight > best[0]):
            best = (weight, language)
    return best[1] if best else None
