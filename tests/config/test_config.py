"""From sections to checked values: defaults, refusals in an operator's words, and no password shown."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.config.load import examine, load
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, REQUIRED
from supervisor_memkill.config.sections import ParsedFiles, read_file
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.rules.decision import OnTimeout
from supervisor_memkill.units import Size, parse_whole
from supervisor_memkill.workers.contract import Option, Traits
from supervisor_memkill.workers.registry import load_kind

SECRET = "s3cret"


def _parse_echo(text: str) -> str:
    raise ValueError(f"anything but {text}")


class FakeKind:
    """A kind that nothing is done with but reading its configuration."""

    options: ClassVar[Mapping[str, Option]] = {
        "threads": Option(parse_whole(1), 5, "jobs at once"),
        "odd": Option(parse_whole(0), 1, "an odd number"),
        "echo": Option(_parse_echo, None, "what no value is good for"),
    }
    needs_redis: ClassVar[bool] = False

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=True, can_resume=values["threads"] == 1, names_jobs=values["threads"] > 5)

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        assert values.keys() == {*cls.options, "redis"}
        return () if values["odd"] % 2 else ("odd must be odd",)


class NeedyKind(FakeKind):
    needs_redis: ClassVar[bool] = True


class StoppingKind(FakeKind):
    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=False)


def _kinds(name: str) -> Any:
    found = {"plain": FakeKind, "fake": FakeKind, "needy": NeedyKind, "stopping": StoppingKind}.get(name)
    if found is None:
        raise MemkillError("unknown kind, did you mean plain?")
    return found


@dataclasses.dataclass(frozen=True)
class Written:
    """A configuration file under test."""

    path: Path

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Config:
        self.path.write_text(text)
        return load(read_file(self.path), environ or {}, "this-host", _kinds)

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Each without the path of the file."""
        with pytest.raises(ConfigError) as refused:
            self.load(text, environ)
        return [problem.replace(f"{self.path}:", "") for problem in refused.value.problems]

    def pool(self, lines: str, main: str = "") -> PoolConfig:
        (pool,) = self.load(f"[memkill]\n{main}\n[memkill:jobs]\nmax_rss = 2GB\n{lines}\n").pools
        return pool

    def pool_problem(self, lines: str, main: str = "") -> str:
        (problem,) = self.problems(f"[memkill]\n{main}\n[memkill:jobs]\nmax_rss = 2GB\n{lines}\n")
        return problem


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "memkill.conf")


def test_the_defaults_are_those_of_the_documentation(written: Written) -> None:
    config = written.load("[memkill:jobs]\nmax_rss = 2GB\n")
    pool = PoolConfig(
        name="jobs",
        programs=("jobs",),
        worker="plain",
        max_rss=Size(exact_bytes=2 * 1024**3),
        hard_max_rss=None,
        measure=None,
        children=None,
        strikes=1,
        min_uptime_seconds=60,
        min_available=1,
        max_draining=1,
        drain_timeout_seconds=None,
        on_timeout=OnTimeout.STOP,
        cooldown_seconds=0,
        settle_seconds=10,
        protect_jobs=(),
        redis=None,
        key_namespace="",
        kind_values={"threads": 5, "odd": 1, "echo": None},
    )
    assert config == Config(
        host="this-host",
        redis=None,
        key_prefix="memkill",
        heartbeat_seconds=10,
        slot_ttl_seconds=60,
        poll_interval_seconds=1,
        journal=None,
        dry_run=False,
        log_level="info",
        pools=(pool,),
    )


def test_every_key_arrives(written: Written) -> None:
    config = written.load(
        """\
[memkill]
redis = redis://one/0
key_prefix = mk
host = web-1
heartbeat = 5s
slot_ttl = 30s
poll_interval = 500ms
journal = %(here)s/journal
dry_run = yes
log_level = debug
hook = %(here)s/hook "two words"
hook_events = drain.done, *.back
hook_timeout = 1m
notify = json://one/a,b slack://two/three
notify_events = *.away
metrics_textfile = %(here)s/memkill.prom
metrics_listen = [::1]:9110
[memkill:jobs]
programs = jobs:*, mails
worker = fake
max_rss = 50%
hard_max_rss = 4GB
measure = pss
children = no
strikes = 3
min_uptime = 5m
min_available = 0
max_draining = 2
drain_timeout = 1d
on_timeout = wait
cooldown = 1m
settle = 0
protect_jobs = Billing::* Report
before_stop = %(here)s/dump "two words" %(pid)s-%(name)s %(pool)s
before_stop_timeout = 2m
redis = redis://two/1
key_namespace = app
threads = 10
"""
    )
    assert config == Config(
        host="web-1",
        redis="redis://one/0",
        key_prefix="mk",
        heartbeat_seconds=5,
        slot_ttl_seconds=30,
        poll_interval_seconds=0.5,
        journal=written.path.parent / "journal",
        dry_run=True,
        log_level="debug",
        hook=(str(written.path.parent / "hook"), "two words"),
        hook_events=("drain.done", "*.back"),
        hook_timeout_seconds=60,
        notify=("json://one/a,b", "slack://two/three"),
        notify_events=("*.away",),
        metrics_textfile=written.path.parent / "memkill.prom",
        metrics_listen=("::1", 9110),
        pools=(
            PoolConfig(
                name="jobs",
                programs=("jobs:*", "mails"),
                worker="fake",
                max_rss=Size(percent=50),
                hard_max_rss=Size(exact_bytes=4 * 1024**3),
                measure="pss",
                children=False,
                strikes=3,
                min_uptime_seconds=300,
                min_available=0,
                max_draining=2,
                drain_timeout_seconds=86400,
                on_timeout=OnTimeout.WAIT,
                cooldown_seconds=60,
                settle_seconds=0,
                protect_jobs=("Billing::*", "Report"),
                before_stop=(f"{written.path.parent}/dump", "two words", "%(pid)s-%(name)s", "%(pool)s"),
                before_stop_timeout_seconds=120,
                redis="redis://two/1",
                key_namespace="app",
                kind_values={"threads": 10, "odd": 1, "echo": None},
            ),
        ),
    )


@pytest.mark.parametrize(("keys", "made"), [(GLOBAL_KEYS, Config), (POOL_KEYS, PoolConfig)])
def test_the_table_of_keys_and_the_values_made_of_them_are_the_same(
    keys: Mapping[str, Option], made: type[Any]
) -> None:
    fields = {field.name.removesuffix("_seconds") for field in dataclasses.fields(made)}
    assert fields - {"name", "kind_values", "pools"} == set(keys)
    assert all(option.help for option in keys.values())


def test_a_configuration_without_pools_is_a_good_one(written: Written) -> None:
    assert written.load("[supervisord]\n").pools == ()
    assert load(ParsedFiles(()), {}, "this-host", _kinds) == Config(host="this-host")


def test_pools_stand_in_the_order_of_their_sections(written: Written) -> None:
    text = "".join(f"[memkill:{name}]\nmax_rss = 1GB\n" for name in "cab")
    assert [pool.name for pool in written.load(text).pools] == ["c", "a", "b"]


def test_a_pool_named_as_a_worker_is_of_that_worker(written: Written) -> None:
    (pool,) = written.load("[memkill:jobs:one]\nmax_rss = 1GB\n").pools
    assert pool.programs == ("jobs:one",)


def test_the_environments_redis_stands_in_for_an_absent_key_only(written: Written) -> None:
    environ = {"MEMKILL_REDIS": "redis://environment/0"}
    assert written.load("[memkill]\n", environ).redis == "redis://environment/0"
    assert written.load("", environ).redis == "redis://environment/0"
    assert written.load("[memkill]\nredis = redis://file/0\n", environ).redis == "redis://file/0"
    assert written.load("", {"MEMKILL_REDIS": ""}).redis is None


def test_a_pools_redis_is_the_coordinators_unless_it_has_its_own(written: Written) -> None:
    assert written.pool("worker = needy", main="redis = redis://main/0").redis == "redis://main/0"
    assert written.pool("redis = redis://own/0", main="redis = redis://main/0").redis == "redis://own/0"
    assert written.pool("worker = needy\nredis = redis://own/0").redis == "redis://own/0"


ENVIRON = {"LIMIT": "3GB", "NAME": "app", "PW": "p%40ss", "POOLS": "jobs, mails", "Case": "c", "EMPTY": ""}


def test_names_of_the_environment_are_filled_in_everywhere(written: Written) -> None:
    text = """\
[memkill]
redis = redis://:%(ENV_PW)s@host/0
host = %(host_node_name)s-%(ENV_Case)s
journal = %(here)s/%(ENV_NAME)s
[memkill:jobs]
worker = %(ENV_KIND)s
programs = %(ENV_POOLS)s
max_rss = %(ENV_LIMIT)s
key_namespace = a%(ENV_NAME)sb%%c
threads = 1%(ENV_EMPTY)s
"""
    config = written.load(text, {**ENVIRON, "KIND": "fake"})
    (pool,) = config.pools
    assert (config.redis, config.host) == ("redis://:p%40ss@host/0", "this-host-c")
    assert config.journal == written.path.parent / "app"
    assert (pool.worker, pool.programs, pool.max_rss) == (
        "fake",
        ("jobs", "mails"),
        Size(exact_bytes=3 << 30),
    )
    assert (pool.key_namespace, pool.kind_values["threads"]) == ("aappb%c", 1)


@pytest.mark.parametrize(
    ("url", "meant"),
    [("redis://:p%40ss@host/0", "redis://:p%40ss@host/0"), ("redis://:p%%40ss@host", "redis://:p%40ss@host")],
)
def test_a_percent_in_a_url_may_be_doubled_as_in_supervisord_and_need_not(
    written: Written, url: str, meant: str
) -> None:
    assert written.load(f"[memkill]\nredis = {url}\n").redis == meant


def test_a_value_of_the_environment_is_not_filled_in_again(written: Written) -> None:
    environ = {"A": "%(ENV_B)s%%", "B": "b"}
    (pool,) = written.load("[memkill:x]\nmax_rss = 80%\nkey_namespace = %(ENV_A)s\n", environ).pools
    assert (pool.key_namespace, pool.max_rss) == ("%(ENV_B)s%%", Size(percent=80))


def test_an_almost_right_name_is_suggested(written: Written) -> None:
    text = "[memkill]\nhost = %(ENV_HOSTNAM)s\nkey_prefix = %(env_hostname)s\n"
    told = "\n".join(written.problems(text, {"HOSTNAME": "x"}))
    assert "no variable HOSTNAM; did you mean %(ENV_HOSTNAME)s?" in told
    assert "not %(env_hostname)s, did you mean %(ENV_HOSTNAME)s?" in told


def test_a_secret_of_the_environment_is_in_no_problem_and_no_repr(written: Written) -> None:
    environ = {"PW": SECRET, "URL": f"redis://:{SECRET}@host/x"}
    for line in ("redis = redis://:%(ENV_PW)s@host/x", "redis = %(ENV_URL)s", "max_rss = %(ENV_PW)s"):
        assert SECRET not in str(written.problems(f"[memkill:jobs]\nmax_rss = 1GB\n{line}\n", environ))
    config = written.load("[memkill]\nredis = redis://:%(ENV_PW)s@host/0\n", environ)
    assert config.redis == f"redis://:{SECRET}@host/0" and SECRET not in repr(config)


@pytest.mark.parametrize("setting", ["redis://:p%40ss@host/0", "redis://host/0?password=p%40ss", "p%25r@h"])
def test_what_supervisord_makes_of_a_single_percent_is_recognised(written: Written, setting: str) -> None:
    """As supervisor/options.py has it: the expansions of a program, filled in by Python's %."""
    expansions = {"here": "/etc", "program_name": "memkill", "ENV_KEY": f"x@y {SECRET}"}
    mangled = setting % expansions
    for text, environ in (
        ("", {"MEMKILL_REDIS": mangled}),
        ("[memkill]\nredis = %(ENV_URL)s\n", {"URL": mangled}),
    ):
        (problem,) = written.problems(text, environ)
        assert "write %% for each %" in problem and "redis_file" in problem
        assert SECRET not in problem and "/etc" not in problem


def _secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_url_is_read_from_the_file_that_redis_file_names(written: Written) -> None:
    path = _secret_file(written.path.with_name("url"), f"# ours\n\n redis://:{SECRET}@main/0 \n", 0o400)
    own = _secret_file(written.path.with_name("own"), f"\ufeffredis://:{SECRET}@own/0")
    text = (
        "[memkill]\nredis_file = %(here)s/url\n[memkill:a]\nworker = needy\nmax_rss = 1GB\n"
        f"[memkill:b]\nmax_rss = 1GB\nredis_file = {own}\n"
    )
    config = written.load(text, {"MEMKILL_REDIS": "redis://environment/0"})
    first, second = config.pools
    assert (config.redis, config.redis_file) == (f"redis://:{SECRET}@main/0", path)
    assert config.redis_files == (str(path), str(own))
    assert (first.redis, first.redis_file) == (config.redis, None)
    assert (second.redis, second.redis_file) == (f"redis://:{SECRET}@own/0", own)
    assert SECRET not in repr(config)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660])
def test_a_file_that_others_can_read_or_change_is_refused(written: Written, mode: int) -> None:
    path = _secret_file(written.path.with_name("url"), f"redis://:{SECRET}@host/0", mode)
    (problem,) = written.problems(f"[memkill]\nredis_file = {path}\n[memkill:a]\nworker=needy\nmax_rss=1GB\n")
    assert problem == (
        f"2: [memkill] redis_file = '{path}': others can read or change it (mode {mode:04o}):"
        f" run chmod 600 {path}"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must hold one line, the URL (beside comments with #), not 0 lines"),
        (f"redis://:{SECRET}@a/0\nredis://:{SECRET}@b/0\n", "must hold one line"),
        (f"MEMKILL_REDIS=redis://:{SECRET}@a/0", "the URL alone, without a name and = before it"),
        (f"redis://:{SECRET}@a/x", "the URL in it must be a URL whose database"),
        (f"redis://{SECRET}@a/0", "the URL in it must be redis://:PASSWORD@HOST"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "must hold text in UTF-8"),
        ("#" * 70_000, "must hold one line"),
    ],
)
def test_a_file_that_holds_no_url_is_refused_without_what_it_holds(
    written: Written, text: str, told: str
) -> None:
    path = written.path.with_name("url")
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    (problem,) = written.problems(f"[memkill:jobs]\nmax_rss = 1GB\nredis_file = {path}\n")
    assert problem.startswith(f"3: [memkill:jobs] redis_file = '{path}': ")
    assert told in problem and SECRET not in problem


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("secret", "must be an absolute path"),
        ("/nonesuch/url", "cannot be read: No such file or directory"),
        ("%(here)s", "must be a regular file"),
        ("%(here)s/fifo", "must be a regular file"),
        ("%(here)s/url\nredis = redis://host", "redis stands at "),
    ],
)
def test_a_file_that_cannot_be_it_is_told(written: Written, value: str, told: str) -> None:
    os.mkfifo(written.path.with_name("fifo"), 0o600)
    _secret_file(written.path.with_name("url"), "redis://host/0")
    (problem,) = written.problems(f"[memkill]\nredis_file = {value}\n")
    assert problem.startswith("2: [memkill] redis_file = ") and told in problem


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
        ("key_namespace = %(ENV_X)", "are filled in, not %(ENV_X)"),
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


def test_urls_of_the_environment_stand_in_for_an_absent_key_only(written: Written) -> None:
    environ = {"MEMKILL_NOTIFY": " json://one  json://two "}
    assert written.load("", environ).notify == ("json://one", "json://two")
    assert written.load("[memkill]\nnotify = json://own\n", environ).notify == ("json://own",)


@pytest.mark.parametrize("urls", ["s3cret", "json://a s3cret", "json://{'here': 's3cret'}"])
def test_wrong_urls_of_the_environment_are_refused_without_being_shown(written: Written, urls: str) -> None:
    (problem,) = written.problems("", {"MEMKILL_NOTIFY": urls})
    assert problem.startswith("environment: MEMKILL_NOTIFY")
    assert "s3cret" not in problem


def test_urls_of_notices_are_in_no_repr(written: Written) -> None:
    assert "s3cret" not in repr(written.load("[memkill]\nnotify = json://s3cret\n"))


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
        load(read_file(written.path), {}, "here", _kinds, lambda module: False)
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
    assert problem.startswith("1: [memkill:jobs] max_rss is missing: the limit")


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
    examined = examine(read_file(written.path), {}, "this-host", _kinds)
    assert len(examined.problems) == 3
    config = examined.config
    assert (config.log_level, config.heartbeat_seconds, config.redis) == ("info", 5.0, None)
    assert [pool.name for pool in config.pools] == ["own"], "a wrong URL is nobody's Redis"


def test_the_keys_of_a_kind_that_is_not_known_are_not_called_unknown(written: Written) -> None:
    assert "unknown kind" in written.pool_problem("worker = other\nconcurrency = 5")
    told = written.problems("[memkill:jobs]\nmax_rss = 1GB\nworker = other\nstrike = 5\n")
    assert any("did you mean strikes?" in problem for problem in told)


@pytest.mark.parametrize(
    "text",
    [
        f"[memkill]\nredis = redis://:{SECRET}@host:x/0\n",
        f"[memkill]\nredis = redis://:{SECRET}\n",
        f"[memkill]\nredis = :{SECRET}@host\n",
        f"[memkill]\nredis = redis://u:{SECRET}%(ENV_X)s@host\n",
        f"[memkill]\nredis = http://host/?password={SECRET}\n",
        f"[memkill]\nredsi = redis://:{SECRET}@host/0\n",
        f"[memkill]\nredis_password = {SECRET}\n",
        f"[memkill:jobs]\nmax_rss = redis://:{SECRET}@host/0\n",
        f"[memkill:jobs]\nmax_rss = 1GB\nredis = redis://:{SECRET}@host/x\n",
        f"[memkill:jobs]\nmax_rss = 1GB\necho = redis://:{SECRET}@host\n",
        f"[memkill:jobs]\nmax_rss = 1GB\nbusy = redis-cli -u redis://:{SECRET}@host get x\n",
    ],
)
def test_no_problem_shows_a_password(written: Written, text: str) -> None:
    assert SECRET not in "\n".join(written.problems(text))


def test_a_bad_redis_of_the_environment_is_told_without_its_password(written: Written) -> None:
    (problem,) = written.problems("", {"MEMKILL_REDIS": f"redis://:{SECRET}@host:x"})
    assert problem.startswith("environment: MEMKILL_REDIS = 'redis://:***@host:x': must be a URL")


def test_no_configuration_shows_a_password_when_it_is_printed(written: Written) -> None:
    config = written.load(f"[memkill]\nredis = redis://:{SECRET}@h/0\n[memkill:jobs]\nmax_rss = 1GB\n")
    assert config.pools[0].redis
    assert SECRET not in repr(config)


def test_the_password_of_celerys_broker_is_not_in_the_repr(tmp_path: Path) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill:a]\nmax_rss = 1GB\nworker = celery\nbroker = amqp://u:{SECRET}@mq//\n")
    config = load(read_file(path), {}, "this-host", load_kind)
    assert SECRET in config.pools[0].kind_values["broker"][0] and SECRET not in repr(config)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60))
def test_whatever_a_file_holds_it_is_a_configuration_or_problems_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.conf"
    path.write_text(f"[memkill:a]\n{text}\n[memkill]\n{text}", newline="")
    try:
        load(read_file(path), {}, "this-host", _kinds)
    except ConfigError as refused:
        assert all(line.startswith(str(path)) and "\n" not in line for line in refused.problems)


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ("worker = sidekiq\nredis = redis://host/0", None, None),
        (
            "worker = custom\nquiet_signal = TSTP\nbusy_command = busy %(pid)s %(group)s",
            "quiet_signal",
            "TSTP",
        ),
    ],
)
def test_the_built_in_kinds_take_their_own_keys(
    tmp_path: Path, lines: str, key: str | None, value: str | None
) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill:jobs]\nmax_rss = 2GB\n{lines}\n")
    (pool,) = load(read_file(path), {}, "this-host", load_kind).pools
    assert pool.kind_values.keys() == load_kind(pool.worker).options.keys()
    if key is not None:
        assert pool.kind_values[key] == value


@pytest.mark.parametrize("name", ["plain", "custom", "sidekiq"])
def test_no_kinds_key_hides_behind_a_pools(name: str) -> None:
    assert not load_kind(name).options.keys() & POOL_KEYS.keys()
