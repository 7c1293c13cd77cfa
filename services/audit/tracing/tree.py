"""A trace as lines of text: which service emitted which event, because of what, and how long after it."""

import datetime as dt
from collections.abc import Iterator, Sequence

from services.audit.tracing.spans import Span


def lines(spans: Sequence[Span]) -> Iterator[str]:
    """The tree, a line per span: branch, service, type, time since the parent (UTC at a root), log index."""
    by_id = {span.id: span for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in by_id.values():
        children.setdefault(span.parent if span.parent in by_id else None, []).append(span)
    for found in children.values():
        found.sort(key=lambda span: span.index)
    rows = list(_walk(children, by_id))
    width = max((len(branch) + len(span.service) for branch, span in rows), default=0)
    names = max((len(span.name) for _, span in rows), default=0)
    for branch, span in rows:
        place = f"{branch}{span.service}".ljust(width)
        yield f"{place}  {span.name.ljust(names)}  {_when(span, by_id):>24}  #{span.index}"


def _walk(children: dict[str | None, list[Span]], by_id: dict[str, Span]) -> Iterator[tuple[str, Span]]:
    """Depth first without recursion: a chain of causes may be as long as the trace."""
    unseen = dict(by_id)
    while unseen:
        # Events that name each other as cause, which no correct producer writes, have no root.
        tops = [span for span in children.get(None, []) if span.id in unseen] or [next(iter(unseen.values()))]
        stack = [("", "", span) for span in reversed(tops)]
        while stack:
            branch, indent, span = stack.pop()
            if unseen.pop(span.id, None) is None:
                continue
            yield branch, span
            below = [child for child in children.get(span.id, []) if child.id in unseen]
            for child in reversed(below):
                last = child is below[-1]
                stack.append((indent + ("└ " if last else "├ "), indent + ("  " if last else "│ "), child))


def _when(span: Span, by_id: dict[str, Span]) -> str:
    parent = by_id.get(span.parent or "")
    if parent is None:
        moment = dt.datetime.fromtimestamp(span.end // 1000 / 1_000_000, dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{(span.end - parent.end) / 1e9:+.3f} s"
