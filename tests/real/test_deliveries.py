"""Hooks and notices of a real listener: events arrive, and what hangs delays nothing."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real.conftest import StartPool
from tests.real.listener_process import AnsweringSupervisord, listener_under
from tests.real.mail import http_server
from tests.real.test_requests import IDLE, run

pytestmark = pytest.mark.real

GHOSTS = "".join(f"[memkill:ghost{number}]\nmax_rss = 1GB\n" for number in range(3))
"""Pools that match no worker: the first check reports each of them."""
CHOSEN = "pool.note listener.ended"


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_hook_gets_every_event_in_order_until_the_listener_has_ended(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    got = tmp_path / "got"
    hook = executable(tmp_path / "hook", f"cat >> {got}")
    settings = f"hook = {hook}\nhook_events = {CHOSEN}"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        listener.say()
        wait_for(lambda: got.exists() and got.read_text().count("\n") >= 3, message="three notes")
        listener.popen.send_signal(signal.SIGTERM)
        listener.popen.wait(PATIENCE_SECONDS)
        events = [json.loads(line) for line in got.read_text().splitlines()]
    assert [event["event"] for event in events] == ["pool.note"] * 3 + ["listener.ended"]
    assert ["ghost" in event["fields"]["note"] for event in events[:3]] == [True] * 3


def test_hook_that_hangs_delays_no_check_and_not_the_end(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    """It ignores every signal that can be ignored; nothing of it is left."""
    begun = tmp_path / "begun"
    hook = executable(tmp_path / "hook", f"trap '' TERM INT HUP; echo $$ > {begun}; exec sleep 600")
    settings = f"hook = {hook}\nhook_events = {CHOSEN}\nhook_timeout = 1h"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        listener.say()
        wait_for(lambda: begun.exists() and begun.read_text(), message="the hook has begun")
        for _ in range(5):
            listener.say()
            assert supervisord.is_checked_within(PATIENCE_SECONDS)
        before = time.monotonic()
        listener.popen.send_signal(signal.SIGTERM)
        assert listener.popen.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert time.monotonic() - before < PATIENCE_SECONDS / 2
        assert not Path(f"/proc/{begun.read_text().strip()}").exists()
        assert "hook.failed event=pool.note" in listener.log()
        assert "hook.dropped dropped=3" in listener.log(), "two notes, and the end of the listener"


def test_hook_that_hangs_is_ended_at_its_limit_and_the_next_event_gets_through(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    got = tmp_path / "got"
    once = f"mkdir {tmp_path}/once 2>/dev/null && exec sleep 600; cat >> {got}"
    settings = f"hook = {executable(tmp_path / 'hook', once)}\nhook_events = {CHOSEN}\nhook_timeout = 3s"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        listener.say()
        wait_for(lambda: got.exists() and got.read_text().count("\n") >= 2, message="two notes")
        listener.say()
        wait_for(lambda: "not done within 3 s" in listener.log(), message="the failure")


def test_hook_that_is_not_there_is_reported_at_the_start_and_at_its_first_event(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    settings = f"hook = {tmp_path}/nope word\nhook_events = {CHOSEN}"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        assert f"hook.missing command={tmp_path}/nope" in listener.log()
        listener.say()
        listener.say()
        wait_for(lambda: listener.say() and "hook.failed" in listener.log(), message="the failure")


def test_dry_run_runs_no_hook(supervisord: AnsweringSupervisord, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    settings = f"hook = touch {ran}\nhook_events = {CHOSEN}\ndry_run = yes"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        listener.say()
        wait_for(lambda: "pool.note" in listener.log(), message="the note")
        listener.popen.send_signal(signal.SIGTERM)
        listener.popen.wait(PATIENCE_SECONDS)
        assert not ran.exists()


def test_drain_is_seen_by_hook_notice_and_metrics(start_pool: StartPool, tmp_path: Path) -> None:
    """A whole restart of two workers, under a real supervisord."""
    got, shown = tmp_path / "got", tmp_path / "memkill.prom"
    hook = executable(tmp_path / "hook", f"cat >> {got}")
    with http_server() as endpoint:
        main = {
            "hook": hook,
            "hook_events": "drain.done request.served",
            "notify": endpoint.url,
            "notify_events": "drain.done",
            "metrics_textfile": shown,
        }
        pool = start_pool(count=2, pool=IDLE, main=main)
        pool.wait_for_event("listener.started")
        assert run(pool, "restart", "job", "--wait").returncode == 0, pool.story()
        pool.wait_for_event("request.served")
        done = 'supervisor_memkill_drains_total{outcome="done",pool="job",reason="restart"} 2.0'
        wait_for(lambda: shown.exists() and done in shown.read_text(), message="the metric")
        wait_for(lambda: got.exists() and "request.served" in got.read_text(), message="the hook")
        wait_for(lambda: endpoint.posts, message="the message")
    events = [json.loads(line) for line in got.read_text().splitlines()]
    assert [event["event"] for event in events] == ["drain.done", "drain.done", "request.served"]
    assert {event["fields"]["worker"] for event in events[:2]} == set(pool.workers)
    assert "drain.done" in endpoint.posts[0]["title"]
    assert 'supervisor_memkill_drain_stopped_seconds_count{pool="job"} 2.0' in shown.read_text()
