"""The figures as a chart (SVG): CPU an hour by the number of processes, on a scale of powers of ten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmark.stage import LISTENERS, TITLES

WIDTH, ROW, LEFT, TOP = 720, 20, 230, 34
COLOURS = ("#2a7f62", "#3f8fc4", "#8fb9d8", "#c0504d")
LEAST = 0.01


def chart(idle: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_parts(idle)) + "\n"


def _parts(idle: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    costs = [(one["own_cpu_ms"] + one["supervisord_ms"]) * 60 / 1000 for one in idle]
    most = max([*costs, 1.0])
    decades = math.log10(most / LEAST)
    height = TOP + ROW * len(idle) + 14
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12">'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    yield '<text x="8" y="20" font-weight="bold">CPU of listener and supervisord in an hour, idle</text>'
    for number, (one, cost) in enumerate(zip(idle, costs, strict=True)):
        y = TOP + number * ROW
        length = (WIDTH - LEFT - 80) * max(0.0, math.log10(max(cost, LEAST) / LEAST)) / decades
        colour = COLOURS[LISTENERS.index(one["listener"])]
        label = f"{one['processes']}: {TITLES[one['listener']]}"
        yield f'<text x="8" y="{y + 13}">{label}</text>'
        yield f'<rect x="{LEFT}" y="{y + 3}" width="{max(1.0, length):.1f}" height="13" fill="{colour}"/>'
        yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{cost:.1f} s</text>'
    yield "</svg>"
