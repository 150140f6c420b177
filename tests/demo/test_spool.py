"""The spool: each job is taken once, and the record is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.demo.spool import Fact, Job, Spool
from supervisor_memkill.demo.watch import Tail


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path)
    spool.create()
    return spool


def test_a_job_is_taken_by_one_worker_only_and_the_oldest_comes_first(spool: Spool) -> None:
    for name in ("0002", "0001"):
        spool.hand_out(Job(name, 1.5))
    assert [spool.take(worker) for worker in "abc"] == [Job("0001", 1.5), Job("0002", 1.5), None]


def test_starts_and_finishes_are_on_record(spool: Spool) -> None:
    spool.hand_out(Job("0001", 1.0))
    assert spool.waiting() == ["0001"]
    job = spool.take("a")
    assert job is not None
    spool.finish(job, "a")
    assert spool.facts() == [Fact(what, "0001", "a", os.getpid()) for what in ("start", "finish")]
    assert spool.waiting() == []


def test_the_report_of_an_earlier_process_does_not_count(spool: Spool) -> None:
    assert spool.reported("a", os.getpid()) == ""
    spool.report("a", "ready")
    assert spool.reported("a", os.getpid()) == "ready"
    assert spool.reported("a", os.getpid() + 1) == ""


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.lines() == []
    path.write_text("one\ntwo\nthr")
    assert tail.lines() == ["one", "two"]
    assert tail.lines() == []
    with path.open("a") as file:
        file.write("ee\n")
    assert tail.lines() == ["three"]
