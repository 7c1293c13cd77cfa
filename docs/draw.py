"""Draws the pictures of these pages from the code itself: `python docs/draw.py` writes them all.

Two kinds: what a package imports, floor over floor (read with grimp, the import graph that import-linter
uses), and which service writes and reads which topic (from `shared.contracts`). A test holds the files
against what this would draw, so that no picture here can be out of date.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

PICTURES = Path(__file__).with_name("pictures")

_WIDTH = 1120
_LETTER = 7.2  # pixels of a character of the title face at 13 px
_GAP = 14
_COLUMN = 10  # so many modules stand in one column of a box
_FLOOR_GAP = 46

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b2733}"
    ".small{font-size:11px;fill:#51606e}"
    ".box{fill:#f3f6f9;stroke:#7d8d9c}"
    ".arrow{fill:none;stroke:#7d8d9c;stroke-opacity:.55}"
    ".up{fill:none;stroke:#c22;stroke-width:2}"
    ".topic{fill:#fff7e0;stroke:#b58a00}"
)


@dataclass(frozen=True, slots=True)
class ImportGraph:
    """The children of a package: what each imports of the others, and the modules inside each.

    `circles` are pairs that import each other, directly or by way of others.
    """

    package: str
    imports: Mapping[str, frozenset[str]]
    inside: Mapping[str, tuple[str, ...]]
    circles: tuple[tuple[str, ...], ...]

    @property
    def floors(self) -> list[list[str]]:
        """The children from the bottom up: each stands above all that it imports, except in a circle."""
        height: dict[str, int] = {}

        def measure(name: str, path: frozenset[str]) -> int:
            if name not in height:
                below = [measure(each, path | {name}) for each in self.imports[name] - path]
                height[name] = max(below, default=-1) + 1
            return height[name]

        for name in sorted(self.imports):
            measure(name, frozenset())
        return [
            sorted(name for name in height if height[name] == floor)
            for floor in range(max(height.values(), default=-1) + 1)
        ]

    @property
    def arrows_up(self) -> list[tuple[str, str]]:
        """Imports of something that does not stand lower."""
        floor = {name: number for number, row in enumerate(self.floors) for name in row}
        return sorted(
            (name, other)
            for name, others in self.imports.items()
            for other in others
            if floor[other] >= floor[name]
        )

    @property
    def caption(self) -> str:
        modules = sum(max(1, len(names)) for names in self.inside.values())
        arrows = sum(map(len, self.imports.values()))
        return (
            f"{self.package}: {len(self.imports)} parts with {modules} modules on {len(self.floors)} floors, "
            f"{arrows} arrows, {len(self.arrows_up)} of them up, {len(self.circles)} circles of modules"
        )


def read_imports(package: str) -> ImportGraph:
    """The import graph of an importable package."""
    graph = grimp.build_graph(package, cache_dir=None)
    children = sorted(graph.find_children(package))
    modules = {child: {child, *graph.find_descendants(child)} for child in children}
    owner = {module: child for child, own in modules.items() for module in own}
    imports = {
        child: frozenset(
            owner[other]
            for module in modules[child]
            for other in graph.find_modules_directly_imported_by(module)
            if other in owner and owner[other] != child
        )
        for child in children
    }
    short = {child: child.removeprefix(f"{package}.") for child in children}
    return ImportGraph(
        package,
        {short[child]: frozenset(short[each] for each in others) for child, others in imports.items()},
        {
            short[child]: tuple(
                sorted(module.removeprefix(f"{child}.") for module in modules[child] if module != child)
            )
            for child in children
        },
        _circles({m: graph.find_modules_directly_imported_by(m) & owner.keys() for m in owner}),
    )


def draw_imports(graph: ImportGraph) -> str:
    """An SVG with one row of boxes a floor, the highest on top; an arrow that runs up is red."""
    shapes: list[str] = []
    place: dict[str, tuple[float, float, float, float]] = {}
    y = 40.0
    for row in reversed(graph.floors):
        lines = list(_wrapped([(name, _box_size(name, graph.inside[name])) for name in row]))
        for line in lines:
            x = (_WIDTH - sum(width for _, (width, _) in line) - _GAP * (len(line) - 1)) / 2
            tallest = max(height for _, (_, height) in line)
            for name, (width, height) in line:
                place[name] = (x, y, width, height)
                shapes += _box(name, graph.inside[name], place[name])
                x += width + _GAP
            y += tallest + (_FLOOR_GAP if line is lines[-1] else _GAP)
    up = set(graph.arrows_up)
    arrows = [
        _arrow(place[name], place[other], up=(name, other) in up)
        for name in sorted(graph.imports)
        for other in sorted(graph.imports[name])
    ]
    return _svg([*arrows, *shapes, _text(16, 22, graph.caption, small=True)], y - _FLOOR_GAP + 16)


def draw_topics(written: Mapping[str, str], read: Mapping[str, Sequence[str]], writers: Sequence[str]) -> str:
    """An SVG of writers on the left, topics in the middle and readers on the right.

    `written` maps a topic to what writes it, `read` a reader to the topics that it reads.
    """
    shapes: list[str] = []
    left = {name: (16.0, 40.0 + 70 * n, 170.0, 40.0) for n, name in enumerate(writers)}
    middle = {topic: (430.0, 40.0 + 52 * n, 250.0, 34.0) for n, topic in enumerate(written)}
    right = {name: (930.0, 40.0 + 70 * n, 170.0, 40.0) for n, name in enumerate(read)}
    for topic, writer in written.items():
        shapes.append(_across(left[writer], middle[topic]))
    for reader, topics in read.items():
        shapes += [_across(middle[topic], right[reader]) for topic in topics]
    for boxes, kind in ((left, "box"), (middle, "topic"), (right, "box")):
        for name, (x, y, width, height) in boxes.items():
            shapes.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>')
            shapes.append(_text(x + 10, y + height / 2 + 5, name))
    for x, title in ((16, "writes"), (430, "topic"), (930, "reads")):
        shapes.append(_text(x, 24, title, small=True))
    bottom = max(y + height for boxes in (left, middle, right) for _, y, _, height in boxes.values())
    return _svg(shapes, bottom + 16)


def topics_picture() -> str:
    """Who writes and who reads each topic, as the contracts say."""
    from shared.contracts.addresses import ADDRESSES
    from shared.contracts.readers import readers
    from shared.contracts.registry import REGISTRY

    writers = {contract.topic: contract.writer for contract in REGISTRY.values()}
    address = {
        logical: text.format(namespace="civic", code="<unit>")
        for logical, text in ADDRESSES.items()
        if logical in writers
    }
    read = {
        who: [address[topic] for topic in topics if topic in address] for who, topics in readers().items()
    }
    written = {address[logical]: writers[logical] for logical in address}
    return draw_topics(written, read, list(dict.fromkeys(written.values())))


def pictures() -> dict[str, str]:
    """The generated pictures by file name."""
    return {"shared.svg": draw_imports(read_imports("shared")), "topics.svg": topics_picture()}


def _circles(imports: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of modules that reach each other (strongly connected, more than one)."""
    reach: dict[str, set[str]] = {}
    for start in imports:
        found: set[str] = set()
        waiting = list(imports[start])
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting.extend(imports[each])
        reach[start] = found
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in imports
        if name in reach[name]
    }
    return tuple(sorted(group for group in groups if len(group) > 1))


def _columns(inside: Sequence[str]) -> list[Sequence[str]]:
    """The names in one column, or two where there are many."""
    half = len(inside) if len(inside) <= _COLUMN else -(-len(inside) // 2)
    return [inside[:half], inside[half:]] if half < len(inside) else [inside]


def _box_size(name: str, inside: Sequence[str]) -> tuple[float, float]:
    columns = _columns(inside)
    longest = max([len(name) / len(columns), *(len(each) * 0.85 for each in inside)])
    return max(60.0, len(columns) * (longest * _LETTER + 12) + 10), 30.0 + 14 * len(columns[0])


def _wrapped(
    boxes: Iterable[tuple[str, tuple[float, float]]],
) -> Iterable[list[tuple[str, tuple[float, float]]]]:
    line: list[tuple[str, tuple[float, float]]] = []
    used = 0.0
    for name, size in boxes:
        if line and used + size[0] > _WIDTH - 32:
            yield line
            line, used = [], 0.0
        line.append((name, size))
        used += size[0] + _GAP
    if line:
        yield line


def _box(name: str, inside: Sequence[str], place: tuple[float, float, float, float]) -> list[str]:
    x, y, width, height = place
    columns = _columns(inside)
    return [
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5"/>',
        _text(x + 10, y + 20, name),
        *(
            _text(x + 10 + column * (width - 10) / len(columns), y + 36 + 14 * n, each, small=True)
            for column, names in enumerate(columns)
            for n, each in enumerate(names)
        ),
    ]


def _arrow(
    start: tuple[float, float, float, float], end: tuple[float, float, float, float], *, up: bool
) -> str:
    x1, y1 = start[0] + start[2] / 2, start[1] + (0 if up else start[3])
    x2, y2 = end[0] + end[2] / 2, end[1] + (end[3] if up else 0)
    half = (y2 - y1) / 2
    kind, head = ("up", "head-up") if up else ("arrow", "head")
    path = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + half:.1f} {x2:.1f} {y2 - half:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="{kind}" d="{path}" marker-end="url(#{head})"/>'


def _across(start: tuple[float, float, float, float], end: tuple[float, float, float, float]) -> str:
    x1, y1 = start[0] + start[2], start[1] + start[3] / 2
    x2, y2 = end[0], end[1] + end[3] / 2
    half = (x2 - x1) / 2
    return (
        f'<path class="arrow" d="M{x1} {y1}C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"'
        ' marker-end="url(#head)"/>'
    )


def _text(x: float, y: float, text: str, *, small: bool = False) -> str:
    kind = ' class="small"' if small else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(text)}</text>'


def _svg(shapes: Iterable[str], height: float) -> str:
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        f' orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for name, colour in (("head", "#7d8d9c"), ("head-up", "#c22"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">\n'
        f"<style>{_STYLE}</style><defs>{heads}</defs>"
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#fff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def main(arguments: Sequence[str]) -> int:
    """Writes the pictures; with a package and a file, draws that package's imports into the file."""
    if len(arguments) == 2:
        Path(arguments[1]).write_text(draw_imports(read_imports(arguments[0])), "utf-8")
        return 0
    if arguments:
        print("usage: python docs/draw.py [PACKAGE FILE]", file=sys.stderr)  # noqa: T201
        return 2
    for name, picture in pictures().items():
        (PICTURES / name).write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
