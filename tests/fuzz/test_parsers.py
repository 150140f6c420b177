"""Sizes, durations, templates and the other values of a configuration; command lines and titles."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill import units
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules import pools
from supervisor_memkill.testing.fakes import process, program_info
from supervisor_memkill.units import Size, format_duration, format_size, parse_duration, parse_size
from supervisor_memkill.workers import command_line, custom, registry, templates
from supervisor_memkill.workers.sidekiq.records import quiet_signal, version_in_title
from tests.fuzz.effort import tries
from tests.fuzz.kinds import make
from tests.fuzz.values import NUMBER_TEXTS, TEXTS, assert_one_line, near

AMOUNTS = st.one_of(NUMBER_TEXTS, st.decimals(0, 10**30).map(str), st.integers(0, 10**40).map(str))
UNITS = st.sampled_from(["", "B", "K", "kb", "MB", "GiB", "T", "%", "ms", "s", "m", "h", "d", " ", "x"])
AMOUNT_TEXTS = st.one_of(TEXTS, st.builds("".join, st.tuples(AMOUNTS, UNITS)), near(st.just("1.5GB")))
MAX_BYTES = 2**80
"""Above all that can be installed."""


@tries(150)
@example("9" * 29)
@example("1" + "0" * 320 + "B")
@example("0.00000000001%")
@given(AMOUNT_TEXTS)
def test_a_size_is_an_amount_that_can_be_reckoned_with_or_is_refused(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError as error:
        assert_one_line(str(error))
        return
    assert 1 <= size.resolve(2**34) <= MAX_BYTES
    assert_one_line(str(size))


@tries(150)
@example("10000000000")
@example("9" * 308)
@given(AMOUNT_TEXTS)
def test_a_duration_can_be_waited_for_or_is_refused(text: str) -> None:
    for parse in (parse_duration, units.parse_positive_duration):
        try:
            seconds = parse(text)
        except ValueError as error:
            assert_one_line(str(error))
            continue
        assert 0 <= seconds <= threading.TIMEOUT_MAX
        assert_one_line(format_duration(seconds))


@tries(50)
@given(st.one_of(st.integers(0, MAX_BYTES), st.floats(0, float(MAX_BYTES))), st.floats(0, 1e10))
def test_what_is_shown_of_an_amount_is_a_word(size: float, seconds: float) -> None:
    assert re.fullmatch(r"[0-9]+(\.[0-9])?[KMGT]?B", format_size(size))
    assert re.fullmatch(r"([0-9.]+(ms|s|m|h|d))+", format_duration(seconds))


RIGHT_VALUES = st.sampled_from(
    [
        "yes",
        "1",
        "10s",
        "200MB",
        "80%",
        "rss",
        "stop",
        "a b,c*",
        "auto",
        "info",
        "/run/x",
        "memkill",
        "TSTP",
        "kill -%(pid)s %(name)s",
        "jobs:%(host)s",
        "redis://h:1/0",
        "sidekiq",
    ]
)
OPTIONS: dict[str, Any] = {
    **{f"global {key}": option for key, option in GLOBAL_KEYS.items()},
    **{f"pool {key}": option for key, option in POOL_KEYS.items()},
    **{
        f"{kind} {key}": option
        for kind in registry.BUILT_IN
        for key, option in registry.load_kind(kind).options.items()
    },
}


@pytest.mark.parametrize("name", OPTIONS)
@tries(30)
@example("/")
@example("/a\0b")
@example("%(pi\nd")
@given(st.one_of(TEXTS, near(RIGHT_VALUES), NUMBER_TEXTS))
def test_every_option_takes_a_text_or_says_in_a_line_what_is_allowed(name: str, text: str) -> None:
    try:
        OPTIONS[name].parse(text)
    except ValueError as error:
        assert_one_line(str(error))
    else:
        if name == "global journal":
            OPTIONS[name].parse(text).with_name("x")
            assert "\0" not in text


@tries(100)
@given(st.one_of(TEXTS, NUMBER_TEXTS, near(st.sampled_from(["TSTP", "SIGUSR1", "20", "KILL"]))))
def test_a_signal_is_one_that_this_system_has_or_is_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert f"SIG{custom.parse_signal(text)}" in {one.name for one in signal.Signals}


HOLES = st.lists(
    st.sampled_from(
        ["%(pid)s", "%(name)s", "%(group)s", "%(host)s", "%(x)s", "%", "(", ")", "s", "\\", "'", '"', " "]
    )
    | st.text(max_size=2),
    max_size=6,
).map("".join)


@tries(250)
@example("%\\(x)s")
@example('%"(x)s"')
@given(HOLES)
def test_a_template_that_is_taken_can_be_filled_in(text: str) -> None:
    with contextlib.suppress(ValueError):
        templates.fill(templates.parse_template(text), process(), "web1")
    with contextlib.suppress(ValueError):
        words = templates.parse_command(text)
        assert words
        for word in words:
            templates.fill(word, process(), "web1")


@tries(100)
@example("0\x1f")
@given(st.one_of(TEXTS, NUMBER_TEXTS, st.none(), st.binary(max_size=5), st.floats(), st.integers()))
def test_a_count_is_a_small_whole_number_or_unknown(value: object) -> None:
    try:
        assert 0 <= custom.parse_count(value) < 10**9
    except Unknown as error:
        assert_one_line(str(error))


COMMANDS = st.sampled_from(
    [
        "bundle exec sidekiq -t 30 -c 5",
        "sh -c 'cd app; exec rq worker'",
        "sidekiq --timeout=60",
        "rq worker-pool -w X",
        "celery -A app worker -c 4 -P prefork",
        "dramatiq app -p 2 -t 8",
        "huey_consumer app.huey -w 4 -k process",
        "arq app.Settings",
        "taskiq worker app:broker",
        "php artisan queue:work --timeout=90 --memory=128",
        "php artisan queue:listen --once",
        "php artisan horizon",
        "php bin/console messenger:consume async -m 128M",
        "python manage.py qcluster",
        "bin/delayed_job -n 2 --pool=a:1 run",
        "sh -c ''",
        "-",
        "/usr/bin/python3 -m rq worker",
    ]
)
SETTINGS = st.fixed_dictionaries(
    {
        "stopwaitsecs": st.integers(-1, 10**12),
        "stopsignal": st.integers(-1, 200),
        "killasgroup": st.booleans(),
    }
)


@pytest.mark.parametrize("name", registry.BUILT_IN)
@tries(75)
@example("sidekiq -t " + "9" * 5000, {}, 1.0)
@example("sidekiq -t 1" + "0" * 320, {}, 1.0)
@given(st.one_of(TEXTS, near(COMMANDS)), SETTINGS, st.floats(0.001, 1e9))
def test_advice_on_any_command_line_is_in_lines(
    name: str, command: str, values: dict[str, Any], timeout: float
) -> None:
    kind = make(name, lambda strategy: None)
    for advice in kind.advice(program_info(command, **values), timeout):
        assert_one_line(advice.text)


@tries(100)
@given(st.one_of(TEXTS, near(COMMANDS)), st.sampled_from(["-t", "--timeout", "-w", "-c"]))
def test_command_lines_are_looked_through_without_a_fault(command: str, option: str) -> None:
    assert command_line.is_shell(command) in (True, False)
    assert command_line.is_shell_without_exec(command) in (True, False)
    found = command_line.option_text(command, option)
    assert found is None or found in command


@tries(100)
@example("9" * 5000)
@example("sidekiq 6." + "9" * 5000 + " app")
@given(
    st.one_of(
        TEXTS, NUMBER_TEXTS, near(st.sampled_from(["6.4.1", "4.2.8", "sidekiq 6.4.1 app [1 of 3 busy]"]))
    )
)
def test_any_version_gets_one_of_two_signals(text: str) -> None:
    """And USR1, which kills a later Sidekiq, only one that is old by all that can be read of it."""
    for version in (text, version_in_title(text) or ""):
        name = quiet_signal(version)
        assert name in ("TSTP", "USR1")
        if name == "USR1":
            assert re.match(r"[^0-9]*0*[0-4](?![0-9])", version)


PATTERNS = st.one_of(
    TEXTS, near(st.sampled_from(["jobs:*", "jobs", "[a-z]*:x?", "[!", "[z-a]", "a[", "jobs:one"]))
)


@tries(100)
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_any_patterns_give_each_worker_to_one_pool_at_most(
    patterns: list[str], names: list[tuple[str, str]]
) -> None:
    processes = [ProcessInfo(group, name, ProcessState.RUNNING, 5, 1, 0, 9) for group, name in names]
    configs = [PoolConfig(f"p{number}", (pattern,)) for number, pattern in enumerate(patterns)]
    assignment = pools.assign(processes, configs, {"memkill"})
    members = [one for group in assignment.members.values() for one in group]
    assert len(members) <= len(processes) and set(members) <= set(processes)
    list(pools.notes(assignment, configs, processes))


def test_a_size_of_both_sorts_or_none_is_no_size() -> None:
    for values in ({}, {"exact_bytes": 1, "percent": math.pi}):
        with pytest.raises(ValueError, match="either"):
            Size(**values)  # type: ignore[arg-type]
