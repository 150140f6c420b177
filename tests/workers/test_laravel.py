"""Laravel: recognition by command line and handled signals, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.workers.laravel import Laravel

TITLE = "php /srv/app/artisan queue:work redis --tries=3"
GOOD = replace(
    program_info("php /srv/app/artisan queue:work --timeout=600", stopwaitsecs=610), stopasgroup=False
)
PHP_ALONE, LISTENING = 0x4004A07, 0x4026A07
"""SigCgt of PHP 8.4 that sleeps, and of a Laravel worker: CONT is bit 17."""


def make(**values: object) -> Laravel:
    return Laravel({"command_has": None, **values}, tools(max_rss_bytes=100 * 1024**2))


def read(title: str, caught: int | None = LISTENING, **values: object) -> Reading:
    processes = FakeProcesses({100: title})
    if caught is not None:
        processes.caught[100] = caught
    return read_one(make(**values), Target(process()), processes.table)


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = Laravel
    title = TITLE


@pytest.mark.parametrize(
    "title",
    [
        TITLE,
        "/usr/bin/php8.3 -d memory_limit=1G artisan queue:work",
        "php artisan queue:work --queue=high,low",
        "php artisan --env=production -v queue:work redis",
        "php artisan --env production queue:work",
    ],
)
def test_it_is_known_however_it_is_started(title: str) -> None:
    reading = read(title)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    "php",
    ["php8.4", "php84", "lsphp", "/usr/local/bin/ea-php84", "/usr/local/lsws/lsphp84/bin/php", "php-cli"],
)
def test_what_a_job_starts_is_not_counted_whatever_the_name_of_php(php: str) -> None:
    """The names of Debian, Alpine, LiteSpeed and cPanel."""
    processes = FakeProcesses({100: f"{php} artisan queue:work", 101: "wkhtmltopdf a b"}, children={101: 100})
    assert make().memory_in_children(process(), processes.table) is False


def test_a_worker_that_does_not_handle_signals_is_not_recognised() -> None:
    """PHP itself catches TERM in any case; CONT shows that Laravel asked for its signals."""
    reading = read(TITLE, PHP_ALONE)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert "install that extension" in reading.why and "booting" in reading.why


@pytest.mark.parametrize("wrapper", ["tini --", "doppler run --"])
def test_behind_a_wrapper_the_worker_itself_shows_that_it_handles_signals(wrapper: str) -> None:
    """tini and doppler pass TERM on, and have no handler for CONT."""
    processes = FakeProcesses({100: f"{wrapper} {TITLE}", 101: TITLE}, children={101: 100})
    processes.caught = {100: 0, 101: LISTENING}
    assert read_one(make(), Target(process()), processes.table).recognised is True
    processes.caught = {100: 0, 101: PHP_ALONE}
    assert "install that extension" in read_one(make(), Target(process()), processes.table).why


def test_behind_two_wrappers_the_worker_itself_shows_it_too() -> None:
    titles = {100: f"tini -- doppler run -- {TITLE}", 101: f"doppler run -- {TITLE}", 102: TITLE}
    processes = FakeProcesses(titles, children={101: 100, 102: 101})
    processes.caught = {100: 0, 101: 0, 102: LISTENING}
    assert read_one(make(), Target(process()), processes.table).recognised is True


def test_a_wrapper_that_handles_every_signal_says_nothing_about_its_worker() -> None:
    """Symfony's command line tool passes every signal on, also to a PHP without pcntl."""
    title = "symfony php artisan queue:work"
    processes = FakeProcesses({100: title, 101: "/usr/bin/php8.3 artisan queue:work"}, children={101: 100})
    processes.caught = {100: LISTENING, 101: PHP_ALONE}
    assert read_one(make(), Target(process()), processes.table).recognised is False
    processes.caught = {100: LISTENING, 101: LISTENING}
    assert read_one(make(), Target(process()), processes.table).recognised is True


def test_a_child_that_handles_signals_does_not_make_its_worker_ready() -> None:
    processes = FakeProcesses({100: TITLE, 101: TITLE}, children={101: 100})
    processes.caught = {100: PHP_ALONE, 101: LISTENING}
    assert read_one(make(), Target(process()), processes.table).recognised is False


def test_where_the_system_shows_no_signals_the_command_line_suffices() -> None:
    assert read(TITLE, caught=None).recognised is True


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("php artisan queue:work --once", "--once: remove it"),
        ("php artisan queue:listen", "queue:listen: run queue:work instead"),
        ("frankenphp php-cli artisan queue:work", "frankenphp php-cli: start the worker with php instead"),
        ("php artisan schedule:work", "does not contain artisan queue:work"),
        ("sh -c php artisan queue:work; true", "exec"),
        ("php think queue:work", "set command_has"),
    ],
)
def test_another_process_is_not_recognised(title: str, expected: str) -> None:
    reading = read(title)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert expected in reading.why


def test_thinkphp_is_known_by_the_text_that_the_operator_names() -> None:
    think = "think queue:work"
    assert read("php think queue:work", command_has=think).recognised is True
    assert read("php think queue:work", PHP_ALONE, command_has=think).recognised is False
    assert read("php think queue:work --once", command_has=think).recognised is False


def test_its_memory_is_its_own_unless_a_wrapper_is_in_front() -> None:
    kind = make()
    assert (kind.traits.quiets, kind.traits.measure) == (False, "rss")
    assert not kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert kind.memory_in_children(process(), FakeProcesses({100: f"sh -c {TITLE}"}).table)


@pytest.mark.parametrize("changes", [{}, {"killasgroup": False}, {"command": f"{GOOD.command} --memory=512"}])
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"stopsignal": signal.SIGQUIT},
            "stopsignal=QUIT must be TERM: Laravel finishes its job at QUIT only",
        ),
        ({"stopsignal": signal.SIGINT}, "stopsignal=INT must be TERM"),
        ({"stopsignal": signal.SIGUSR2}, "stopsignal=USR2 must be TERM"),
        ({"stopwaitsecs": 610}, "stopwaitsecs=610 is below drain_timeout=11m40s"),
        ({"command": "php artisan queue:listen"}, "queue:listen: run queue:work instead"),
        ({"command": "php artisan queue:work --once"}, "--once: remove it"),
        ({"command": "frankenphp php-cli artisan queue:work"}, "frankenphp php-cli: start the worker"),
        ({"command": "sh -c 'php artisan queue:work; true'"}, "a shell without exec"),
        ({"command": "sudo -u www php artisan queue:work"}, "does not pass the stop signal unchanged"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    wide = {"stopwaitsecs": 700, **changes}
    ((text, refuses),) = advice(replace(GOOD, **wide), drain_timeout=700.0)
    assert expected in text and refuses


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopasgroup": True}, "processes that running jobs have started"),
        ({"stopwaitsecs": 600}, "stopwaitsecs=600 must be above --timeout of 600 s"),
        ({"command": "php artisan queue:work", "stopwaitsecs": 60}, "must be above --timeout of 60 s"),
        ({"command": f"{GOOD.command} --memory=100"}, "--memory=100 is not above max_rss=100MB"),
    ],
)
def test_settings_that_may_harm_give_a_hint(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes), drain_timeout=60.0)
    assert expected in text and not refuses


def test_the_default_of_its_own_memory_limit_counts() -> None:
    """128 MB; 0 is no limit."""
    kind = Laravel({"command_has": None}, tools(max_rss_bytes=128 * 1024**2))
    (found,) = kind.advice(GOOD, 600.0)
    assert "--memory=128 (default) is not above max_rss=128MB" in found.text and not found.refuses
    assert list(kind.advice(replace(GOOD, command=f"{GOOD.command} --memory=0"), 600.0)) == []
    assert list(Laravel({"command_has": None}, tools()).advice(GOOD, 600.0)) == []


def test_a_wrapper_without_a_known_name_holds_the_memory_below_it() -> None:
    """And a process that a job has started does not count for the worker."""
    kind = make()
    below = FakeProcesses({100: f"doppler run -- {TITLE}", 101: TITLE}, children={101: 100})
    assert kind.memory_in_children(process(), below.table)
    for php in ("php", "/usr/bin/php8.3", "php84"):
        busy = FakeProcesses({100: TITLE.replace("php", php), 101: "convert a.png"}, children={101: 100})
        assert not kind.memory_in_children(process(), busy.table), php
