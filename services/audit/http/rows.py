"""An entry for oversight staff: what happened in plain words, to which case, when."""

from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request

from services.audit.entries import EntryView
from shared.ids import case_number, is_id
from shared.web.i18n import MessageCatalogue, language_of
from shared.web.state import web_state

# Events whose subject, if it is a UUID, is an inquiry id and not that of a publication or a subscription.
_ABOUT_A_CASE = (
    "civic.inquiry.",
    "civic.case.",
    "civic.assignment.",
    "civic.delivery.",
    "civic.person.",
    "civic.push.notice_",
    "civic.routing.",
)


class Rows:
    """Formats entries in the language of one request and the time zone of the jurisdiction."""

    def __init__(self, request: Request, catalogue: MessageCatalogue) -> None:
        settings = web_state(request).settings
        self._catalogue = catalogue
        self._language = language_of(request, settings.language)
        self._zone = ZoneInfo(settings.time_zone)

    def row(self, entry: EntryView) -> dict[str, Any]:
        """The entry as JSON, plus `text`, `at`, `number` (None if not about a case) and `href`."""
        return entry.as_json() | {
            "text": self._text(entry),
            "at": f"{entry.appended.astimezone(self._zone):%m-%d %H:%M:%S}",
            "number": self._number(entry),
            "href": "/oversight?" + urlencode({"subject": entry.subject}),
        }

    def _text(self, entry: EntryView) -> str:
        text = self._catalogue.text
        if (reset := entry.reset) is not None:
            place = f"{reset.topic}/{reset.partition}"
            said = {"place": place, "taken": str(reset.taken), "offset": str(reset.offset)}
            return text(self._language, "oversight.reset", **said)
        if entry.type is None:
            return text(self._language, "oversight.not_an_event")
        key = event_key(entry.type)
        name = text(self._language, key) if self._catalogue.has(key) else entry.type
        if entry.kind == "incident":
            return text(self._language, "oversight.incident", said=name)
        return name

    def _number(self, entry: EntryView) -> str | None:
        if entry.type is None or not entry.type.startswith(_ABOUT_A_CASE) or not is_id(entry.subject):
            return None
        try:
            return case_number(entry.subject, self._zone)
        except (ValueError, OverflowError):
            # The first 48 bits of a UUIDv4 may be a time beyond the year 9999. Any producer may write such a
            # subject, and an entry that cannot be shown would end every reader's stream.
            return None


def event_key(event_type: str) -> str:
    """The message key of an event's type: its name without `civic.` and the version."""
    return "event." + event_type.removeprefix("civic.").rpartition(".v")[0]
