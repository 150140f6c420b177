"""Refusals in an operator's words, all at once, with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.config.load import examine, load
from supervisor_memkill.config.options import POOL_KEYS, REQUIRED
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.errors import ConfigError
from supervisor_memkill.workers.registry import load_kind
from tests.config.written import Written, find_kind


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[memkill:jobs]\nmax_rss = 1GB\nquiet_signal = TSTP\n",
            "3: [memkill:jobs] quiet_signal = 'TSTP': quiet_signal belongs to worker = custom",
        ),
        (
            "[memkill:jobs]\nmax_rss = 1GB\nrecord_hosts = a\n",
            "record_hosts belongs to worker = sidekiq, celery, resque or rq",
        ),
        ("[memkill]\nbroker = redis://a/0\n", "belongs in a pool, [memkill:NAME], with worker = celery"),
    ],
)
def test_key_of_another_kind_is_named_with_the_kinds_that_have_it(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "a.conf"
    path.write_text(text)
    (line,) = examine(read_file(path), {}, "here", load_kind).problems
    assert line.endswith(problem)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("max_rs = 2GB", "5: [memkill:jobs] max_rs = '2GB': unknown key, did you mean max_rss?"),
        ("drain-timeout = 1", "drain-timeout = '1': unknown key, did you mean drain_timeout?"),
        ("thread = 1", "thread = '1': unknown key, did you mean threads?"),
        ("zzz = 1", "zzz = '1': unknown key (known: programs, worker, max_rss,"),
        ("heartbeat = 5s", "heartbeat = '5s': belongs in [memkill]"),
        ("hard_max_rss = 120%", "5: [memkill:jobs] hard_max_rss = '120%': must be a size above 0 such as"),
        ("strikes = 0", "strikes = '0': must be a whole number, 1 or more"),
        ("min_available = 50%", "min_available = '50%': must be a whole number, 0 or more"),
        ("drain_timeout = 0", "drain_timeout = '0': must be a duration such as"),
        ("cooldown = -1", "cooldown = '-1': must be a duration such as"),
        ("measure = vms", "measure = 'vms': must be one of rss, pss, uss"),
        ("children = some", "children = 'some': must be auto, yes or no"),
        ("on_timeout = kill", "on_timeout = 'kill': must be one of stop, wait, resume"),
        ("programs = ,", "programs = ',': must be one or more words"),
        ("programs =", "programs = '': has no value; leave the key out for its default"),
        ("key_namespace = a b", "key_namespace = 'a b': must be a text without white space"),
        ("redis = localhost", "redis = 'localhost': must be a URL that begins with redis://"),
        ("threads = 0", "5: [memkill:jobs] threads = '0': must be a whole number, 1 or more"),
        ("worker = fakee", "5: [memkill:jobs] worker = 'fakee': unknown kind, did you mean plain?"),
        ("hard_max_rss = 2GB", "5: [memkill:jobs] hard_max_rss = '2GB': must be above max_rss"),
        ("hard_max_rss = 1GB", "5: [memkill:jobs] hard_max_rss = '1GB': must be above max_rss"),
        (
            "worker = needy",
            "5: [memkill:jobs] worker = 'needy': it needs redis, here, in [memkill], or as MEMKILL_REDIS",
        ),
        ("on_timeout = resume", "on_timeout = 'resume': worker = plain cannot be resumed; use stop or wait"),
        (
            "worker = stopping\non_timeout = wait",
            "6: [memkill:jobs] on_timeout = 'wait': worker = stopping drains by stopping",
        ),
        (
            "worker = stopping\nbefore_stop = dump %(pid)s",
            "6: [memkill:jobs] before_stop = 'dump %(pid)s': worker = stopping drains by stopping: there",
        ),
        ("before_stop = ''", "before_stop = \"''\": must be a command that runs without a shell"),
        (
            "before_stop = dump %(pod)s",
            "no other placeholders than %(pid)s %(group)s %(name)s %(host)s %(pool)s",
        ),
        ("before_stop = dump %(ENV_X)s", "the environment has no variable X"),
        ("before_stop_timeout = 0", "before_stop_timeout = '0': must be a duration"),
        ("protect_jobs = Report", "protect_jobs = 'Report': worker = plain cannot tell which jobs run"),
        ('hard_max_rss = "4GB"', "hard_max_rss = '\"4GB\"': has quotes around it"),
        ("programs = 'jobs:*'", "programs = \"'jobs:*'\": has quotes around it"),
        ('programs = "a:*" "b:*"', "has quotes around it, which would be part of the value: remove"),
        ('redis = "redis://:s3cret@h/0"', "has quotes around it"),
        ("odd = 2", "5: [memkill:jobs] odd = '2': odd must be odd"),
        ("key_namespace = %(ENV_X)s", "the environment has no variable X; by hand it must be set"),
        (
            "redis = redis://:%(ENV_X)s@h",
            "the environment has no variable X; by hand it must be set",
        ),
        (
            "key_namespace = %(program_name)s",
            "only %(here)s, %(host_node_name)s and %(ENV_NAME)s",
        ),
        ("key_namespace = %(HOST_NODE_NAME)s", "not %(HOST_NODE_NAME)s"),
        ("key_namespace = %(ENV_X)", "are filled in, not %(ENV_X), write %(ENV_X)s"),
        ("threads = %(ENV_X)s", "the environment has no variable X"),
        ("threads = %(env_x)s", "are filled in, not %(env_x)s"),
        ("worker = %(ENV_X)s", "the environment has no variable X"),
    ],
)
def test_what_is_wrong_in_a_pool_is_told_with_its_place_and_what_is_allowed(
    written: Written, lines: str, problem: str
) -> None:
    assert problem in written.pool_problem(lines)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("heart_beat = 5s", "2: [memkill] heart_beat = '5s': unknown key, did you mean heartbeat?"),
        ("max_rss = 1GB", "max_rss = '1GB': belongs in a pool, [memkill:NAME]"),
        ("host = a/b", "host = 'a/b': must be a name without white space, slashes and braces"),
        ("key_prefix = {a}", "key_prefix = '{a}': must be a name without"),
        ("journal = run/j", "journal = 'run/j': must be an absolute path"),
        ("dry_run = maybe", "dry_run = 'maybe': must be yes or no"),
        ("log_level = loud", "log_level = 'loud': must be one of debug, info, warning, error"),
        ('hook = "half', "must be a command that runs without a shell (No closing quotation)"),
        ("hook = ''", "hook = \"''\": must be a command that runs without a shell"),
        ("hook = tell %(pid)s", "only %(here)s, %(host_node_name)s and %(ENV_NAME)s are filled in"),
        (
            "hook_events = drain.dome",
            "must be names or patterns of events: no event is named drain.dome, did",
        ),
        (
            "notify = json://a s3cret",
            "notify = '***': must be URLs that apprise knows, separated by spaces; URL 2",
        ),
        ("metrics_textfile = run/m.prom", "metrics_textfile = 'run/m.prom': must be an absolute path"),
        ("metrics_textfile = /run/metrics", "must be the path of a file whose name ends in .prom"),
        (
            "metrics_listen = :9110",
            "metrics_listen = ':9110': must be a port such as 9110, which means 127.0.0.1",
        ),
        ("metrics_listen = web:9110", "must be a port such as 9110"),
        ("metrics_listen = 70000", "must be a port such as 9110"),
        ("metrics_listen = 0", "must be a port such as 9110"),
        ("metrics_listen = 1.2.3.4", "must be a port such as 9110"),
        ("notify_events = zebra", "must be names or patterns of events: no event is named zebra"),
        ("hook_timeout = 0", "hook_timeout = '0': must be a duration"),
        ("poll_interval = 0", "poll_interval = '0': must be a duration"),
        (
            "slot_ttl = 49s",
            "2: [memkill] slot_ttl = '49s': slot_ttl (49s) must be at least 5 times heartbeat (50s)",
        ),
        (
            "heartbeat = 13s",
            "2: [memkill] heartbeat = '13s': slot_ttl (1m00s) must be at least 5 times heartbeat (1m05s)",
        ),
    ],
)
def test_what_is_wrong_in_the_main_section_is_told_likewise(
    written: Written, lines: str, problem: str
) -> None:
    (told,) = written.problems(f"[memkill]\n{lines}\n")
    assert problem in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9110", ("127.0.0.1", 9110)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::]:9110", ("::", 9110)),
    ],
)
def test_port_alone_is_reached_from_this_machine_alone(
    written: Written, text: str, expected: tuple[str, int]
) -> None:
    assert written.load(f"[memkill]\nmetrics_listen = {text}\n").metrics_listen == expected


def test_missing_extra_is_named_with_what_to_install(written: Written) -> None:
    written.path.write_text("[memkill]\nnotify = json://s3cret\nmetrics_listen = 9110\n")
    with pytest.raises(ConfigError) as refused:
        load(read_file(written.path), {}, "here", find_kind, lambda module: False)
    assert refused.value.problems == (
        "[memkill] notify needs apprise: install supervisor-memkill[notify]",
        "[memkill] metrics_listen needs prometheus_client: install supervisor-memkill[metrics]",
    )


def test_two_shares_of_the_memory_are_compared(written: Written) -> None:
    (problem,) = written.problems("[memkill:jobs]\nmax_rss = 50%\nhard_max_rss = 50%\n")
    assert "hard_max_rss = '50%': must be above max_rss" in problem


@pytest.mark.parametrize(
    "lines", ["hard_max_rss = 50%", "hard_max_rss = 2049MB", "on_timeout = resume\nthreads = 1", "odd = 3"]
)
def test_what_cannot_be_told_to_be_wrong_passes(written: Written, lines: str) -> None:
    assert written.pool(lines)


def test_the_limit_is_required(written: Written) -> None:
    assert REQUIRED in POOL_KEYS
    (problem,) = written.problems("[memkill:jobs]\nstrikes = 2\n")
    assert problem.startswith("1: [memkill:jobs] max_rss is missing: write max_rss = SIZE")


@pytest.mark.parametrize("name", ["", " jobs", "a b", "{jobs}"])
def test_a_pools_name_fits_into_a_key_of_redis(written: Written, name: str) -> None:
    assert any(
        "must be [memkill:NAME]" in told for told in written.problems(f"[memkill:{name}]\nmax_rss=1GB\n")
    )


@pytest.mark.parametrize(
    "section",
    [
        *("memkil:jobs", "mem_kill:jobs", "Memkill:jobs", "memkill :jobs"),
        *("memkill jobs", "memkill.jobs", "memkill-jobs", "memkill/jobs"),
    ],
)
def test_a_section_that_looks_like_ours_is_told(written: Written, section: str) -> None:
    (problem,) = written.problems(f"[{section}]\nmax_rss = 1GB\n")
    assert problem == f"1: [{section}]: unknown section, did you mean [memkill:jobs]?"


@pytest.mark.parametrize(
    "section", ["program:memkill", "eventlistener:memkill", "memmon", "killer", "group:mem"]
)
def test_a_section_of_somebody_else_is_left_alone(written: Written, section: str) -> None:
    assert written.load(f"[{section}]\ncommand = x\n").pools == ()


def test_all_problems_are_told_at_once(written: Written) -> None:
    text = "[memkil]\n[memkill]\nhosts = a\nlonely\n"
    text += "[memkill:a]\nstrikes = x\nstrikes = y\nworker = nil\n[memkill:b]\n"
    problems = written.problems(text, {"MEMKILL_REDIS": "nonsense"})
    for part in (
        "4: not KEY = VALUE",
        "7: [memkill:a] strikes stands at",
        "did you mean [memkill]?",
        "did you mean host?",
        "MEMKILL_REDIS = 'nonsense': must be a URL",
        "strikes = 'x'",
        "worker = 'nil': unknown kind",
        "[memkill:a] max_rss is missing",
        "[memkill:b] max_rss is missing",
    ):
        assert sum(part in problem for problem in problems) == 1, part
    assert len(problems) == 9
    assert not any("\n" in problem for problem in problems)


def test_one_wrong_value_hides_no_other_problem(written: Written) -> None:
    """Neither text before the first section, nor a value that cannot be compared, nor an unknown kind."""
    text = "stray\nmore\n[memkill]\nlog_level = loud\nheartbeat = 20s\n"
    text += "[memkill:a]\nmax_rss = 2GB\nhard_max_rss = 1GB\nworker = nil\n"
    text += "[memkill:b]\nmax_rss = x\nstrikes = y\nprotect_jobs = A\n"
    assert [problem.partition(": ")[0] for problem in written.problems(text)] == [
        "1",
        "4",
        "5",
        "9",
        "8",
        "11",
        "12",
        "13",
    ]


def test_what_is_sound_is_known_beside_all_problems(written: Written) -> None:
    text = "[memkill]\nlog_level = loud\nheartbeat = 5s\nredis = nonsense\n"
    text += "[memkill:bad]\nmax_rss = x\n[memkill:own]\nmax_rss = 1GB\nredis = redis://host/1\n"
    text += "[memkill:inherits]\nmax_rss = 1GB\n"
    written.path.write_text(text)
    examined = examine(read_file(written.path), {}, "this-host", find_kind)
    assert len(examined.problems) == 3
    config = examined.config
    assert (config.log_level, config.heartbeat_seconds, config.redis) == ("info", 5.0, None)
    assert [pool.name for pool in config.pools] == ["own"], "a wrong URL is nobody's Redis"


def test_the_keys_of_a_kind_that_is_not_known_are_not_called_unknown(written: Written) -> None:
    assert "unknown kind" in written.pool_problem("worker = other\nconcurrency = 5")
    told = written.problems("[memkill:jobs]\nmax_rss = 1GB\nworker = other\nstrike = 5\n")
    assert any("did you mean strikes?" in problem for problem in told)
