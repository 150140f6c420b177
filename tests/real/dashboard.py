"""The shipped dashboard on data that a real Prometheus scraped from a real listener, and a picture of it.

``python -m tests.real.dashboard PICTURE.png [SECONDS]`` draws each panel at its place, by its own queries and
units. It is no Grafana: fonts, colours and axes are its own.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import format_duration, format_size
from tests.docs.test_metrics import dashboard
from tests.harness import free_port, short_directory, wait_for
from tests.real.chromium import chromium
from tests.real.pool import GATE, LeakyPool
from tests.real.test_metrics import ask, prometheus, query, with_variables
from tests.real_redis import RealRedis

Values = Sequence[tuple[float, float]]
"""Times in epoch seconds, with the value at each."""


@dataclass(frozen=True)
class Line:
    """One result of a query."""

    legend: str
    labels: Mapping[str, str]
    values: Values


# --- a pool that Prometheus scrapes -----------------------------------------------------------------


@contextmanager
def scraped_pool(redis_server: RealRedis, directory: Path, max_rss: str) -> Iterator[tuple[LeakyPool, str]]:
    """Three leaky workers with a listener, and the URL of a Prometheus that scrapes it.

    The busy count is that of the gate. `before_stop` always fails, so that there are warnings.
    """
    port = free_port()
    main = {"redis": redis_server.url, "metrics_listen": port}
    settings = {**GATE, "max_rss": max_rss, "before_stop": "/bin/false"}
    (home := directory / "pool").mkdir()
    pool = LeakyPool(home, count=3, pool=settings, main=main)
    try:
        pool.start()
        with prometheus(directory, port) as url:
            wait_for(
                lambda: query(url, "count_over_time(supervisor_memkill_drains_total[1m]) > 2"),
                message=lambda: f"the first scrapes\n{pool.story()}",
                every=0.2,
            )
            yield pool, url
    finally:
        pool.release()
        pool.supervisord.stop(seconds=3)


# --- queries ------------------------------------------------------------------------------------------


def lines_of(panel: Mapping[str, Any], url: str, begin: float, end: float) -> Iterator[Line]:
    """What the panel's queries give in this time; a table has the present values alone."""
    for target in panel["targets"]:
        expression, legend = with_variables(target["expr"]), target.get("legendFormat") or ""
        if panel["type"] == "timeseries":
            span = {"start": str(begin), "end": str(end), "step": str(_step(begin, end))}
            found = ask(url, "query_range", query=expression, **span)["result"]
        else:
            found = [{**one, "values": [one["value"]]} for one in query(url, target["expr"])]
        for one in found:
            values = [(float(at), float(value)) for at, value in one["values"] if value != "NaN"]
            labels = one["metric"]
            if values:
                yield Line(_named(legend, labels), labels, values)


def _step(begin: float, end: float) -> float:
    return max(1.0, (end - begin) / 300)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend


# --- the picture --------------------------------------------------------------------------------------

COLOURS = ("#3274d9", "#56a64b", "#ff780a", "#e02f44", "#a352cc", "#1f9e9e", "#b8860b", "#6e7f8d")
UNIT, ROW, GAP = 50, 36, 8
"""Pixels of one column and of one row of the dashboard's grid."""


def page_of(shown: Mapping[int, Sequence[Line]], begin: float, end: float) -> str:
    """All panels, as one HTML page; `shown`: the lines by the panel's id."""
    panels = dashboard()["panels"]
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels) * ROW
    style = (
        "body{margin:8px;font:12px sans-serif;color:#24292e;background:#f4f5f5;position:relative;"
        f"width:{24 * UNIT}px;height:{height}px}}"
        "section{position:absolute;background:#fff;border:1px solid #ddd;padding:6px;box-sizing:border-box;"
        "overflow:hidden}h2{font-size:13px;margin:0 0 4px}b{font-size:26px}td,th{padding:1px 10px 1px 0;"
        "text-align:left}i{display:inline-block;width:10px;height:3px;margin:0 4px 3px 0}"
    )
    body = "".join(_panel(one, shown[one["id"]], begin, end) for one in panels)
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><body>{body}"


def _panel(panel: Mapping[str, Any], lines: Sequence[Line], begin: float, end: float) -> str:
    at, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
    width, height = at["w"] * UNIT - GAP, at["h"] * ROW - GAP
    place = f"left:{at['x'] * UNIT}px;top:{at['y'] * ROW}px;width:{width}px;height:{height}px"
    if not lines:
        content = "No data"
    elif panel["type"] == "stat":
        content = "".join(
            f"<p><b>{escape(_mapped(one.values[-1][1], defaults))}</b><br>{escape(one.legend)}"
            for one in lines
        )
    elif panel["type"] == "table":
        content = _table(panel, lines)
    else:
        content = _chart(lines, defaults["unit"], begin, end, (width - 16, height - 70))
    return f'<section style="{place}"><h2>{escape(panel["title"])}</h2>{content}</section>'


def _mapped(value: float, defaults: Mapping[str, Any]) -> str:
    for mapping in defaults.get("mappings", ()):
        if (option := mapping["options"].get(f"{value:g}")) is not None:
            return str(option["text"])
    return _amount(value, defaults["unit"])


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return format_size(value)
    if unit == "percentunit":
        return f"{value:.0%}"
    return format_duration(round(value, 1)) if unit == "s" else f"{value:.3g}"


def _table(panel: Mapping[str, Any], lines: Sequence[Line]) -> str:
    (transformation,) = panel["transformations"]
    hidden = transformation["options"]["excludeByName"]
    names = [one for one in sorted(lines[0].labels) if not hidden.get(one)]
    head = "".join(f"<th>{escape(one)}" for one in names)
    rows = ("".join(f"<td>{escape(line.labels[one])}" for one in names) for line in lines)
    return f"<table><tr>{head}{''.join(f'<tr>{row}' for row in rows)}</table>"


def _chart(lines: Sequence[Line], unit: str, begin: float, end: float, size: tuple[int, int]) -> str:
    (width, height), left = size, 60
    most = max(value for line in lines for _, value in line.values) * 1.1 or 1.0

    def x(at: float) -> float:
        return left + (at - begin) / (end - begin) * (width - left)

    def y(value: float) -> float:
        return height - value / most * (height - 6)

    drawn, legends = list[str](), list[str]()
    for step in range(5):
        value = most * step / 4
        drawn.append(
            f'<path d="M{left} {y(value):.1f}H{width}" stroke="#e4e4e4"/><text x="{left - 6}" '
            f'y="{y(value) + 4:.1f}" text-anchor="end" font-size="10">{escape(_amount(value, unit))}</text>'
        )
    for step in range(5):
        at = begin + (end - begin) * step / 4
        words = time.strftime("%H:%M:%S", time.gmtime(at))
        drawn.append(
            f'<text x="{x(at):.1f}" y="{height + 14}" text-anchor="end" font-size="10">{words}</text>'
        )
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        for part in _unbroken(line.values, 2 * _step(begin, end)):
            points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in part)
            drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        legends.append(f'<span><i style="background:{colour}"></i>{escape(line.legend)}&ensp;</span>')
    return f'<svg width="{width}" height="{height + 18}">{"".join(drawn)}</svg><br>{"".join(legends)}'


def _unbroken(values: Values, longest: float) -> Iterator[Values]:
    """The parts without a gap."""
    begin = 0
    for number in range(1, len(values) + 1):
        if number == len(values) or values[number][0] - values[number - 1][0] > longest:
            yield values[begin:number]
            begin = number


# --- by hand ------------------------------------------------------------------------------------------


def main(picture: str, seconds: str = "150") -> None:
    chance = random.Random(1)
    with short_directory() as directory:
        redis_server = RealRedis(directory).start()
        try:
            with scraped_pool(redis_server, directory, "220MB") as (pool, url):
                begin, number = time.time(), 0
                # The last moment has a worker that waits.
                while time.time() < begin + float(seconds) or not query(
                    url, "supervisor_memkill_worker_held"
                ):
                    number += 1
                    pool.leaky.put(f"job{number}")
                    is_draining = any(one.state is State.DRAINING for one in pool.drains().values())
                    pool.gate(1 if not is_draining and number % 3 else 0)
                    time.sleep(chance.uniform(0.5, 2.5))
                end = time.time()
                panels = dashboard()["panels"]
                shown = {one["id"]: list(lines_of(one, url, begin, end)) for one in panels}
        finally:
            redis_server.stop()
        page = directory / "dashboard.html"
        page.write_text(page_of(shown, begin, end))
        with chromium() as browser:
            browser.open(f"file://{page}", width=24 * UNIT + 16)
            browser.picture(Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
