"""Each fault that is planted is found by its name, and nothing else is found with it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.commands.doctor.catalogue import CHECK_FAILED, CHECKS, FAULTS, PARTS, examine
from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Severity
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.rivals import RivalKind
from supervisor_memkill.processes import ENDED_BY_SIGNAL, ProcessState
from supervisor_memkill.rules.back_off import BackOffCause
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import format_size
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.machine import MemoryLimit
from tests.builders import drain
from tests.commands.doctor import facts_with
from tests.commands.doctor.facts_with import BELOW, INET, fresh_world, looked_at, names, whats
from tests.commands.doctor.planted import PLANTED
from tests.listener_world import LIMIT


def test_where_all_is_well_nothing_is_found() -> None:
    assert examine(looked_at()) == ()


def test_every_fault_is_planted_once() -> None:
    assert sorted(PLANTED) == sorted(FAULTS)


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_found_by_its_name_and_nothing_else_is(name: str) -> None:
    plant, part = PLANTED[name]
    findings = examine(plant())
    assert {finding.name for finding in findings} == {name}
    fault, (finding, *_) = FAULTS[name], findings
    assert part in finding.what
    assert finding.severity is fault.severity
    assert finding.consequence and finding.change


@pytest.mark.parametrize("name", FAULTS)
def test_fault_has_a_stable_name_and_clauses(name: str) -> None:
    fault = FAULTS[name]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", fault.name)
    for text in (fault.meaning, fault.consequence, fault.change):
        assert text and "\n" not in text and not text.endswith(".")


def test_every_fault_and_every_check_of_a_part_is_in_the_catalogue() -> None:
    for part in PARTS.values():
        checks = [value for name, value in vars(part).items() if name.startswith("check_")]
        assert sorted(checks, key=repr) == sorted(part.CHECKS, key=repr)
    assert len(set(CHECKS)) == len(CHECKS)


def test_all_settings_of_a_program_are_named_at_once() -> None:
    world = fresh_world()
    texts = ["stopsignal=TERM must be INT", "stopasgroup=true must go", "stopwaitsecs=10 is too short"]
    world.advice = tuple(Advice(text, refuses=True) for text in texts)
    findings = examine(looked_at(world))
    assert [(one.name, one.at, one.what) for one in findings] == [
        ("settings-lose-jobs", "jobs:one and 2 more", text) for text in texts
    ]


def test_faults_of_all_sorts_are_found_at_once_the_worst_first() -> None:
    facts = facts_with.configuration(problems=("/a:1: one", "/a:2: two"), unread=("/b: gone",))
    facts = dataclasses.replace(
        facts,
        redis=facts_with.redis(away="refused", policy="allkeys-lru", clock_ahead_seconds=90.0).redis,
        listener=facts_with.listener(processes=(), in_files=()).listener,
    )
    assert names(facts) == [
        *("configuration-wrong", "configuration-wrong", "listener-missing", "redis-away"),
        *("configuration-unreadable", "redis-evicts", "redis-clock"),
    ]
    severities = [list(Severity).index(one.severity) for one in examine(facts)]
    assert severities == sorted(severities)


def test_check_that_fails_is_a_finding_and_stops_no_other() -> None:
    def broken(facts: Facts) -> object:
        raise RuntimeError("a bug")

    findings = examine(facts_with.redis(away="refused"), [broken, *CHECKS])  # type: ignore[list-item]
    assert [one.name for one in findings] == [CHECK_FAILED.name, "redis-away"]
    assert findings[0].what == "broken: RuntimeError: a bug"


def test_section_of_a_finding_is_named_with_its_file_and_line() -> None:
    world = fresh_world()
    world.advice = (Advice("stopsignal=TERM must be INT"),)
    places = {"jobs:one": "/etc/jobs.conf:3", "[memkill:jobs]": "/etc/memkill.conf:9"}
    facts = dataclasses.replace(looked_at(world, min_available=3), places=places)
    assert {one.name: one.place for one in examine(facts)} == {
        "settings-hint": "/etc/jobs.conf:3",
        "pool-never-drains": "/etc/memkill.conf:9",
    }


def test_place_of_a_problem_is_where_it_stands() -> None:
    (finding,) = examine(facts_with.configuration(problems=("/etc/a.conf:7: [memkill:a] x: bad",)))
    assert (finding.at, finding.change) == ("/etc/a.conf:7", "correct /etc/a.conf:7")
    assert finding.what == "[memkill:a] x: bad"


@pytest.mark.parametrize(
    ("port", "is_open"),
    [
        ("*:9001", True),
        ("9001", True),
        (":9001", True),
        ("0.0.0.0:9001", True),
        ("10.0.0.1:9001", True),
        ("127.0.0.1:9001", False),
        ("localhost:9001", False),
        ("", False),
    ],
)
def test_server_that_other_machines_reach_needs_a_password(port: str, is_open: bool) -> None:
    name = "server-open-to-network"
    without = facts_with.sections(unix_http_server=INET, inet_http_server={"port": port})
    guarded = facts_with.sections(
        unix_http_server=INET, inet_http_server={"port": port, "username": "u", "password": "p"}
    )
    assert (name in names(without)) is is_open
    assert name not in names(guarded)


def test_files_that_are_not_known_are_no_missing_section() -> None:
    assert names(facts_with.supervisord(sections=SupervisordSections())) == []


def test_worker_that_is_quiet_in_its_drain_is_no_fault() -> None:
    world = fresh_world()
    world.workers["jobs:one"].quiet = True
    draining = drain(State.DRAINING, began_at=world.now, since=world.now)
    assert names(looked_at(world, Contents(drains={draining.worker: draining}))) == []


def test_httpok_of_programs_outside_the_pools_is_no_rival() -> None:
    assert names(facts_with.rival(RivalKind.HEALTH, "httpok -p web http://x")) == []
    assert names(facts_with.rival(RivalKind.HEALTH, "httpok -a http://x")) == ["rival-by-health"]


def test_limit_below_the_baseline_is_known_from_the_listeners_own_delays() -> None:
    contents = Contents(back_offs={"jobs:two": BELOW})
    assert names(looked_at(contents=contents)) == ["limit-below-baseline"]
    (what,) = whats(looked_at(contents=contents))
    assert what.startswith("the listener saw it at a new process of jobs:two;"), "this one may need less yet"
    measured = dataclasses.replace(BELOW, memory_bytes=LIMIT)
    (what,) = whats(looked_at(contents=Contents(back_offs={"jobs:two": measured})))
    assert "which had 200MB at the end of settle" in what
    former = dataclasses.replace(BELOW, limit_bytes=LIMIT // 2)
    assert names(looked_at(contents=Contents(back_offs={"jobs:two": former}))) == [], "the limit was raised"


def with_first(process: Mapping[str, Any] | None = None, **seen: Any) -> Facts:
    """A pool that is well, but for these values of its first worker."""
    facts = looked_at()
    (pool,) = facts.pools
    one, *others = pool.survey.findings
    changed = dataclasses.replace(one.seen.process, **(process or {}))
    finding = dataclasses.replace(one, seen=dataclasses.replace(one.seen, process=changed, **seen))
    survey = dataclasses.replace(pool.survey, findings=(finding, *others))
    return dataclasses.replace(facts, pools=(dataclasses.replace(pool, survey=survey),))


def test_memory_of_a_process_that_ended_says_nothing_about_the_limit() -> None:
    """supervisord still has its start, and so it looks young."""
    bloated: dict[str, Any] = {"memory_bytes": LIMIT, "age_seconds": 1.0}
    assert names(with_first(**bloated)) == ["limit-below-baseline"]
    assert names(with_first({"state": ProcessState.STOPPING}, **bloated)) == []


def test_memory_that_jobs_leaked_after_settle_is_no_baseline() -> None:
    """What a process uses a minute after its start may be its jobs'."""
    settle_seconds = looked_at().pools[0].survey.terms.settle_seconds
    assert names(with_first(memory_bytes=LIMIT, age_seconds=settle_seconds)) == ["limit-below-baseline"]
    assert names(with_first(memory_bytes=LIMIT, age_seconds=settle_seconds + 1)) == []
    assert names(with_first(memory_bytes=LIMIT // 2, age_seconds=settle_seconds)) == []
    assert names(with_first(memory_bytes=None, memory_why="", age_seconds=settle_seconds)) == []


def test_delay_for_another_cause_says_nothing_about_the_baseline() -> None:
    other = dataclasses.replace(BELOW, cause=BackOffCause.AFTER_RESUME, limit_bytes=0)
    assert names(looked_at(contents=Contents(back_offs={"jobs:two": other}))) == []


def test_memory_that_is_unknown_for_no_stated_cause_is_no_fault() -> None:
    """The process may have ended between two readings."""
    assert names(with_first(memory_bytes=None, memory_why="")) == []
    assert names(with_first(memory_bytes=None, memory_why="it is out of sight")) == ["memory-unknown"]


@pytest.mark.parametrize(
    ("error", "what"), [("", "it is BACKOFF"), ("can't find it", "it is BACKOFF: can't find it")]
)
def test_worker_that_is_down_is_named_with_the_error_of_its_start(error: str, what: str) -> None:
    facts = with_first({"state": ProcessState.BACKOFF, "spawnerr": error}, memory_bytes=None)
    assert whats(facts) == [what]


@pytest.mark.parametrize(
    ("exitstatus", "how"),
    [(0, "exit status 0"), (1, "exit status 1"), (ENDED_BY_SIGNAL, "a signal ended it")],
)
def test_worker_that_ended_by_itself_is_down_unless_a_drain_starts_it(exitstatus: int, how: str) -> None:
    """autorestart=false, and the default of supervisord after exit status 0."""
    ended = {"state": ProcessState.EXITED, "exitstatus": exitstatus}
    assert whats(with_first(ended, memory_bytes=None)) == [
        f"it is EXITED ({how}), and supervisord does not start it again"
    ]
    assert whats(with_first({"state": ProcessState.STOPPED}, memory_bytes=None)) == []


def test_workers_own_redis_that_is_away_is_reported_by_its_pool_alone() -> None:
    assert names(facts_with.redis(away="refused", is_ours=False)) == []


# --- at the edge of a fault


def machine(memory: MemoryLimit | None, **settings: Any) -> Facts:
    return dataclasses.replace(looked_at(**settings), memory=memory)


@pytest.mark.parametrize(
    "facts",
    [
        facts_with.redis(version=""),
        facts_with.redis(version="5.0.14"),
        facts_with.redis(clock_ahead_seconds=10.0),
        facts_with.redis(clock_ahead_seconds=-10.0),
        facts_with.supervisord(version="unknown"),
        facts_with.supervisord(version="4.2.0"),
        facts_with.sections(unix_http_server={"file": "/run/s.sock", "port": "*:1"}),
        facts_with.sections(unix_http_server={"file": "/run/s.sock"}, inet_http_server={}),
        machine(None),
    ],
)
def test_what_is_unknown_or_just_good_enough_is_no_fault(facts: Facts) -> None:
    assert whats(facts) == []


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (facts_with.redis(version="4.0.14"), "its version is 4.0.14"),
        (facts_with.supervisord(version="4.1.9"), "its version is 4.1.9"),
        (
            facts_with.redis(policy="allkeys-lru"),
            "maxmemory-policy is allkeys-lru, maxmemory: none is set yet",
        ),
        (
            facts_with.redis(policy="allkeys-lru", maxmemory_bytes=1024**2),
            "maxmemory-policy is allkeys-lru, maxmemory: 1MB",
        ),
        (facts_with.redis(is_full=True), "it is above its maxmemory"),
        (facts_with.redis(is_full=True, maxmemory_bytes=1024**2), "it is above its maxmemory of 1MB"),
        (facts_with.redis(clock_ahead_seconds=11.0), "its clock is 11s ahead of this machine's"),
        (facts_with.redis(clock_ahead_seconds=-11.0), "its clock is 11s behind this machine's"),
        (
            machine(MemoryLimit(3 * LIMIT - 1)),
            f"3 workers may grow to {format_size(3 * LIMIT)} in all, and {format_size(3 * LIMIT - 1)} are "
            "installed",
        ),
        (
            machine(MemoryLimit(3 * LIMIT - 1, Path("/sys/fs/cgroup/memory.max"))),
            f"3 workers may grow to {format_size(3 * LIMIT)} in all, and {format_size(3 * LIMIT - 1)} are "
            "allowed by /sys/fs/cgroup/memory.max",
        ),
    ],
)
def test_fault_says_what_is_so(facts: Facts, what: str) -> None:
    assert whats(facts) == [what]


def test_pool_without_a_limit_needs_no_memory() -> None:
    assert whats(machine(MemoryLimit(1), max_rss=None)) == []
