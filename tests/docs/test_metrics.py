"""The dashboard and the alert rules use metrics that the listener writes, with labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.metric_table import METRICS, PREFIX, series_names
from supervisor_memkill.notices.records import Outcome
from supervisor_memkill.rules.drain import State
from tests.docs.pages import DOCS, ROOT, table

DASHBOARD = ROOT / "contrib" / "grafana" / "supervisor-memkill.json"
RULES = ROOT / "contrib" / "prometheus" / "supervisor-memkill.rules.yml"
KNOWN = {name: metric for metric in METRICS.values() for name in series_names(metric)}


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        yield variable.get("definition", "")
    yield from re.findall(r"^ +expr: (.+)$", RULES.read_text(), re.MULTILINE)


def test_every_metric_of_a_query_is_written() -> None:
    used = {name for query in queries() for name in re.findall(rf"\b{PREFIX}\w+", query)}
    assert used <= set(KNOWN)
    assert len(used) > 15


def test_every_label_of_a_query_is_written() -> None:
    """Beside those that Prometheus adds."""
    for query in queries():
        for name, selector in re.findall(rf"\b({PREFIX}\w+)\{{([^}}]*)\}}", query):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= {*KNOWN[name].labels, "instance"}, query


def test_every_value_of_a_label_in_the_rules_can_occur() -> None:
    text = RULES.read_text()
    for name in re.findall(r'event=~?"([^"]+)"', text):
        assert set(name.split("|")) <= set(CATALOGUE)
    for state in re.findall(r'state=~"([^"]+)"', text):
        assert set(state.split("|")) <= {one.value for one in State}
    assert set(re.findall(r'outcome="(\w+)"', text)) <= {one.value for one in Outcome}


def test_panels_do_not_overlap_and_have_a_title_and_a_meaning() -> None:
    places = set()
    for panel in dashboard()["panels"]:
        assert panel["title"] and panel["description"].endswith(".")
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            assert 0 <= x < 24
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in places, panel["title"]
                places.add((x, y))


def test_table_of_the_page_has_every_metric() -> None:
    rows = table(DOCS / "metrics.rst", "Metrics")
    assert [row[0] for row in rows] == [metric.full_name for metric in METRICS.values()]
