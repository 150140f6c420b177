"""Bars and curves as SVG inside the page. Each has its meaning as text beside its colour. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.terminal import MAX_PERCENT, NEAR_LIMIT, duration, size
from supervisor_memkill.commands.web.html import Html, element
from supervisor_memkill.notices.curves import Points

LIMIT_AT = 0.8
"""Where in a bar the limit stands, if no worker beside it is far above its limit."""
MOST_SHARE = 2.0
"""A bar ends here, in shares of the limit: one giant does not make the bars of the others short."""
WIDTH, HEIGHT, MARGIN = 120.0, 30.0, 3.0

Sample = tuple[float, int]
"""Where it stands from left to right (any unit), and bytes."""

PATTERNS = Html(
    '<svg class="patterns" aria-hidden="true"><defs>'
    '<pattern id="over" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="over-back" width="6" height="6" />'
    '<rect class="over-line" width="2.5" height="6" /></pattern>'
    "</defs></svg>"
)
"""Stands once in a page: what is above a limit is hatched."""


def percent(share: float) -> str:
    """As the screen of ``status`` shows it."""
    return f"{min(MAX_PERCENT, int(share * 100))}%"


def level(share: float) -> str:
    """The class of a share of a limit."""
    return "bad" if share > 1 else "care" if share >= NEAR_LIMIT else "good"


def scale_of(shares: Sequence[float | None]) -> float:
    """The share at the right end of the bars that stand below each other."""
    highest = max((one for one in shares if one is not None), default=0.0)
    return min(max(highest, 1 / LIMIT_AT), MOST_SHARE)


def bar(share: float, scale: float, label: str) -> Html:
    """A bar with a mark at the limit; `scale` is the share at its right end."""
    mark = 100 / scale
    within, shown = min(share, 1.0), min(share, scale)
    parts = [_rect("track", 0, 100), _rect(f"fill {level(share)}", 0, within * mark)]
    if share > 1:
        parts.append(_rect("above", mark, (shown - 1) * mark))
    parts.append(
        element("line", class_="limit", x1=f"{mark:.1f}%", x2=f"{mark:.1f}%", y1="0", y2="100%"),
    )
    return element("svg", *parts, class_="bar", role="img", aria_label=label)


def part(share: float, label: str) -> Html:
    """A bar for a share of a whole."""
    parts = [_rect("track", 0, 100), _rect("fill good", 0, 100 * min(share, 1.0))]
    return element("svg", *parts, class_="bar", role="img", aria_label=label)


def _rect(kind: str, x: float, width: float) -> Html:
    return element("rect", class_=kind, x=f"{x:.1f}%", width=f"{max(0.0, width):.1f}%", height="100%")


# --- curves ---------------------------------------------------------------------------------------------


def curve_of_samples(samples: Sequence[int | None], limit_bytes: int | None) -> Html | None:
    """The memory at the last looks, the newest at the right; None: fewer than two are known."""
    known = [one for one in samples if one is not None]
    if len(known) < 2:
        return None
    stretches = list[list[Sample]]([[]])
    for number, one in enumerate(samples):
        if one is None:
            stretches.append([])
        else:
            stretches[-1].append((number, one))
    label = f"Memory at the last {len(samples)} looks: {_from_to(known)}"
    return _curve(stretches, (0, len(samples) - 1), known, limit_bytes, label)


def curve_of_process(points: Points) -> Html | None:
    """The memory of a process since it began; None: fewer than two points are known."""
    if len(points) < 2:
        return None
    sizes = [size_bytes for _, size_bytes in points]
    label = f"Memory in the {duration(points[-1][0])} of the process: {_from_to(sizes)}"
    return _curve([list(points)], (points[0][0], points[-1][0]), sizes, None, label)


def _from_to(sizes: Sequence[int]) -> str:
    return f"from {size(sizes[0])} to {size(sizes[-1])}, at most {size(max(sizes))}"


def _curve(
    stretches: Sequence[Sequence[Sample]],
    between: tuple[float, float],
    sizes: Sequence[int],
    limit_bytes: int | None,
    label: str,
) -> Html:
    begin, end = between
    top_bytes = max(*sizes, limit_bytes or 0, 1)

    def place(x: float, size_bytes: float) -> tuple[float, float]:
        across = (x - begin) / ((end - begin) or 1)
        return (
            MARGIN + across * (WIDTH - 2 * MARGIN),
            HEIGHT - MARGIN - size_bytes / top_bytes * (HEIGHT - 2 * MARGIN),
        )

    parts = list(_limit_line(limit_bytes, place(begin, limit_bytes or 0)[1]))
    last = (begin, 0.0)
    for stretch in stretches:
        placed = [place(*one) for one in stretch]
        if placed:
            parts += _stretch(placed)
            last = placed[-1]
    parts.append(element("circle", class_="newest", cx=_n(last[0]), cy=_n(last[1]), r="2"))
    return element(
        "svg",
        *parts,
        class_="curve",
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_label=label,
    )


def _limit_line(limit_bytes: int | None, y: float) -> Iterator[Html]:
    if limit_bytes is not None:
        yield element("line", class_="limit", x1="0", x2=f"{WIDTH:.0f}", y1=_n(y), y2=_n(y))


def _stretch(placed: Sequence[tuple[float, float]]) -> Iterator[Html]:
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in placed)
    floor = _n(HEIGHT - MARGIN)
    yield element(
        "path",
        class_="area",
        d=f"M{_n(placed[0][0])},{floor} L{points.replace(' ', ' L')} L{_n(placed[-1][0])},{floor} Z",
    )
    yield element("polyline", class_="line", points=points)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def sizes_in_words(memory_bytes: int | None, limit_bytes: int | None) -> str:
    """``2.4GB of 2GB``."""
    if memory_bytes is None:
        return "unknown"
    return f"{size(memory_bytes)} of {size(limit_bytes)}" if limit_bytes else size(memory_bytes)
