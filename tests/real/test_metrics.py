"""Prometheus reads what a real listener shows; its own tools check the scrape and the alert rules."""

from __future__ import annotations

import concurrent.futures
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.test_metrics import RULES
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
      - series: 'supervisor_memkill_redis_up{instance="a"}'
        values: '1x10 0x400'
    alert_rule_test:
      - {alertname: MemkillNoTicks, eval_time: 5m, exp_alerts: []}
      - {alertname: MemkillMetricsAbsent, eval_time: 20m, exp_alerts: []}
      - {alertname: MemkillSupervisordAway, eval_time: 20m, exp_alerts: []}
    promql_expr_test:
FIRING
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
}


@pytest.fixture
def supervisord() -> Iterator[AnsweringSupervisord]:
    answering = AnsweringSupervisord()
    yield answering
    answering.close()


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
    cases = tmp_path / "cases.yml"
    firing = "".join(FIRING.replace("NAME", name).replace("TIME", time) for name, time in EXPECTED.items())
    cases.write_text(CASES.replace("RULES", str(RULES)).replace("FIRING\n", firing))
    promtool("test", "rules", str(cases))
