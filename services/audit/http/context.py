"""What audit's routes work with, and how a route asks for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from services.audit.log.published import PublishedLog
from services.audit.log_size import LogSizeNotifier
from shared.unit_of_work.database import Database
from shared.web.callers import require, require_caller
from shared.web.pages import Pages
from shared.web.session import Person

NO_INDEX = 2**53
"""Above every index of the log; JSON's numbers are exact below it."""


@dataclass(frozen=True, slots=True)
class Context:
    """Made once by `app.build`; `log_size` wakes streams when this process has appended."""

    database: Database
    published: PublishedLog
    log_size: LogSizeNotifier
    pages: Pages


def context(request: Request) -> Context:
    """The context of the application that serves this request."""
    found: Context = request.app.state.context
    return found


Ctx = Annotated[Context, Depends(context)]
Subject = Annotated[str | None, Query(min_length=1, max_length=200)]
Staff = Annotated[Person, Depends(require("oversight", "operator"))]

MAY_READ = Depends(require_caller("oversight", "operator", scope="audit:read"))
"""For `dependencies=`: staff, or a machine with the scope."""
