"""Prometheus reads what a real listener shows; its own tools check the scrape and the alert rules."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.test_metrics import RULES, dashboard
from tests.harness import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.real.listener_process import AnsweringSupervisord, ListenerProcess, listener_under

pytestmark = pytest.mark.real

CASES = """\
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'supervisor_memkill_info{instance="a",version="1",host="a"}'
        values: '1x400'
      - series: 'supervisor_memkill_last_tick_timestamp_seconds{instance="a"}'
        values: '0 60 120 180 240 240x400'
      - series: 'supervisor_memkill_worker_waiting_since_timestamp_seconds{instance="a",worker="p:1"}'
        values: '0x400'
      - series: 'supervisor_memkill_worker_memory_bytes{instance="a",pool="p",worker="p:1"}'
        values: '200x400'
      - series: 'supervisor_memkill_worker_limit_bytes{instance="a",pool="p",worker="p:1"}'
        values: '100x400'
      - series: 'supervisor_memkill_worker_state{instance="a",pool="p",worker="p:1",state="draining"}'
        values: '1x100 _x400'
      - series: 'supervisor_memkill_worker_state{instance="a",pool="p",worker="p:1",state="stopping"}'
        values: '_x100 1x400'
      - series: 'supervisor_memkill_worker_in_service{instance="a",pool="p",worker="p:1"}'
        values: '0x400'
      - series: 'supervisor_memkill_drains_total{instance="a",pool="p",reason="max_rss",outcome="killed"}'
        values: '0x10 1x400'
      - series: 'supervisor_memkill_events_total{instance="a",event="drain.start_failed",level="WARNING"}'
        values: '0x10 1x400'
      - series: 'supervisor_memkill_events_total{instance="a",event="journal.away",level="ERROR"}'
        values: '0x10 1x400'
      - series: 'supervisor_memkill_redis_up{instance="a"}'
        values: '1x10 0x400'
      - series: 'supervisor_memkill_readings_up{instance="a",pool="p"}'
        values: '1x10 0x400'
      - series: 'supervisor_memkill_supervisord_up{instance="a"}'
        values: '1x30 0x400'
    alert_rule_test:
      - {alertname: MemkillNoTicks, eval_time: 5m, exp_alerts: []}
      - {alertname: MemkillMetricsAbsent, eval_time: 20m, exp_alerts: []}
      - {alertname: MemkillSupervisordAway, eval_time: 20m, exp_alerts: []}
    promql_expr_test:
FIRING
  - interval: 1m
    input_series:
      - series: 'supervisor_memkill_info{instance="a",version="1",host="a"}'
        values: '1x10 _x100'
    promql_expr_test:
ABSENT
"""
FIRING = """\
      - expr: count(ALERTS{alertname="NAME",alertstate="firing"})
        eval_time: TIME
        exp_samples: [{value: 1}]
"""
EXPECTED = {
    "MemkillNoTicks": "20m",
    "MemkillWorkerWaitsLong": "370m",
    "MemkillWorkerFarOverLimit": "40m",
    "MemkillDrainTakesLong": "130m",
    "MemkillNoWorkerInService": "10m",
    "MemkillJobsCut": "30m",
    "MemkillWorkerDoesNotComeBack": "15m",
    "MemkillRedisAway": "20m",
    "MemkillReadingsAway": "20m",
    "MemkillSupervisordAway": "40m",
    "MemkillError": "30m",
}
ABSENT = {"MemkillMetricsAbsent": "40m"}
"""Fires once nothing is scraped any more."""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def listener(supervisord: AnsweringSupervisord, tmp_path: Path, port: int) -> Iterator[ListenerProcess]:
    settings = f"metrics_listen = {port}\nmetrics_textfile = {tmp_path}/memkill.prom"
    with listener_under(supervisord, tmp_path, settings) as process:
        yield process


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def first_scrape(listener: ListenerProcess, port: int) -> str:
    listener.say()

    def scraped() -> str:
        try:
            text = scrape(port)
        except OSError:
            return ""
        return text if "worker_memory_bytes{" in text else ""

    return wait_for(scraped, message=f"the first scrape\n{listener.log()}")


def promtool(*words: str, text: str = "") -> None:
    done = subprocess.run(
        [require_program("promtool"), *words], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_scrape_and_file_are_what_prometheus_wants(
    listener: ListenerProcess, port: int, tmp_path: Path
) -> None:
    text = first_scrape(listener, port)
    promtool("check", "metrics", text=text)
    memory = {
        sample.labels["worker"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "supervisor_memkill_worker_memory_bytes"
    }
    assert set(memory) == {"job:one", "job:two"}
    assert min(memory.values()) > 1024**2
    assert "redis_up" not in text, "it has no Redis"
    written = tmp_path / "memkill.prom"
    wait_for(written.exists, message="the file")
    promtool("check", "metrics", text=written.read_text())


def test_scrapes_without_a_pause_delay_no_check(
    listener: ListenerProcess, supervisord: AnsweringSupervisord, port: int
) -> None:
    first_scrape(listener, port)
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        scrapes = [many.submit(scrape, port) for _ in range(200)]
        for _ in range(5):
            listener.say()
            assert supervisord.is_checked_within(PATIENCE_SECONDS)
        assert all("worker_memory_bytes{" in one.result() for one in scrapes)


def test_only_this_machine_reaches_a_port_without_an_address(listener: ListenerProcess, port: int) -> None:
    first_scrape(listener, port)
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in table.splitlines() if f":{port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{port:04X}"]


def test_address_that_is_taken_is_reported_and_taken_when_it_is_free(
    supervisord: AnsweringSupervisord, tmp_path: Path, port: int
) -> None:
    (one := tmp_path / "one").mkdir()
    (two := tmp_path / "two").mkdir()
    settings = f"metrics_listen = {port}"
    with listener_under(supervisord, one, settings) as first:
        first_scrape(first, port)
        with listener_under(supervisord, two, settings) as second:
            wait_for(
                lambda: second.say() and "metrics.failed option=metrics_listen" in second.log(),
                message="the failure",
            )
            first.end()
            first_scrape(second, port)


def test_rules_are_valid() -> None:
    promtool("check", "rules", str(RULES))


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Each of them."""
    assert {*EXPECTED, *ABSENT} == set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    cases = tmp_path / "cases.yml"
    text = CASES.replace("RULES", str(RULES))
    for mark, alerts in (("FIRING", EXPECTED), ("ABSENT", ABSENT)):
        firing = [FIRING.replace("NAME", name).replace("TIME", time) for name, time in alerts.items()]
        text = text.replace(f"{mark}\n", "".join(firing))
    cases.write_text(text)
    promtool("test", "rules", str(cases))


# --- a real Prometheus -------------------------------------------------------------------------

WITH_DATA = {
    "Last TICK",
    "supervisord",
    "Jobs cut",
    "Memory of the workers",
    "Memory, in per cent of the limit",
    "Workers in service",
    "States",
}
"""Panels that show something of a listener that has drained no worker."""


@contextlib.contextmanager
def prometheus(directory: Path, target_port: int) -> Iterator[str]:
    """The URL of a Prometheus that scrapes this port each second, with the alert rules."""
    port = free_port()
    config = directory / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{RULES}]\n"
        "scrape_configs:\n  - job_name: supervisor-memkill\n    static_configs:\n"
        f'      - targets: ["127.0.0.1:{target_port}"]\n'
    )
    words = [f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([require_program("prometheus"), *words], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.kill()
        process.wait()
        print((directory / "prometheus.log").read_text())


def ask(url: str, path: str, **arguments: str) -> Any:
    """The data of Prometheus' answer; None while it does not answer. Fails for an error in a query."""
    try:
        with urllib.request.urlopen(
            f"{url}/{path}?{urllib.parse.urlencode(arguments)}", timeout=PATIENCE_SECONDS
        ) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        pytest.fail(f"{arguments}: {error.read().decode()}")
    except OSError:
        return None


def with_variables(expression: str) -> str:
    for name, value in (("$instance", ".*"), ("$pool", ".*"), ("$__range", "5m")):
        expression = expression.replace(name, value)
    return expression


def query(url: str, expression: str) -> list[Any]:
    """The result of a query of the dashboard, with its variables set to all."""
    data = ask(url, "query", query=with_variables(expression))
    result: list[Any] = [] if data is None else data["result"]
    return result


def test_prometheus_answers_every_query_of_the_dashboard_and_the_rules(
    listener: ListenerProcess, port: int, tmp_path: Path
) -> None:
    first_scrape(listener, port)
    with prometheus(tmp_path, port) as url:
        wait_for(
            lambda: query(url, "count_over_time(supervisor_memkill_info[1m]) > 2"),
            message="three scrapes",
            every=0.2,
        )
        panels = dashboard()["panels"]
        results = {
            panel["title"]: [query(url, target["expr"]) for target in panel["targets"]] for panel in panels
        }
        assert {title for title, found in results.items() if any(found)} >= WITH_DATA
        memory = {one["metric"]["worker"] for one in results["Memory of the workers"][0]}
        assert memory == {"job:one", "job:two"}

        def evaluated() -> list[Any]:
            rules = [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]
            return rules if all(rule["health"] != "unknown" for rule in rules) else []

        rules = wait_for(evaluated, message="the rules are evaluated", every=0.2)
        assert {rule["health"] for rule in rules} == {"ok"}
        assert len(rules) == RULES.read_text().count("- alert:")
