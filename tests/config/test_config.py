"""From sections to checked values: defaults, and every key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.config.load import load
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.sections import ParsedFiles, read_file
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.errors import ConfigError
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.workers.registry import load_kind
from tests.config.written import Written, find_kind


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
    assert load(ParsedFiles(()), {}, "this-host", find_kind) == Config(host="this-host")


def test_pools_stand_in_the_order_of_their_sections(written: Written) -> None:
    text = "".join(f"[memkill:{name}]\nmax_rss = 1GB\n" for name in "cab")
    assert [pool.name for pool in written.load(text).pools] == ["c", "a", "b"]


def test_a_pool_named_as_a_worker_is_of_that_worker(written: Written) -> None:
    (pool,) = written.load("[memkill:jobs:one]\nmax_rss = 1GB\n").pools
    assert pool.programs == ("jobs:one",)


def test_a_pools_redis_is_the_coordinators_unless_it_has_its_own(written: Written) -> None:
    assert written.pool("worker = needy", main="redis = redis://main/0").redis == "redis://main/0"
    assert written.pool("redis = redis://own/0", main="redis = redis://main/0").redis == "redis://own/0"
    assert written.pool("worker = needy\nredis = redis://own/0").redis == "redis://own/0"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60))
def test_whatever_a_file_holds_it_is_a_configuration_or_problems_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.conf"
    path.write_text(f"[memkill:a]\n{text}\n[memkill]\n{text}", newline="")
    try:
        load(read_file(path), {}, "this-host", find_kind)
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
