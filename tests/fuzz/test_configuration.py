"""Configuration files, addresses in them and in the environment."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from supervisor_memkill.commands import context as assembly
from supervisor_memkill.commands import which
from supervisor_memkill.config import program_files, supervisord_files
from supervisor_memkill.config.load import load
from supervisor_memkill.config.options import REDIS_VARIABLE
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.supervisord_command import Running, is_supervisord, own_file
from supervisor_memkill.config.supervisord_sections import read_sections
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.rules.back_off import is_below_baseline
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size, format_duration
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world import redis_client, redis_url
from tests.fuzz.config_texts import HEADS, LINES, files, is_small, pools
from tests.fuzz.effort import tries
from tests.fuzz.values import (
    ENVIRONMENT_TEXTS,
    NUMBER_TEXTS,
    TEXTS,
    assert_one_line,
    is_number,
    is_whole,
    near,
)
from tests.harness import short_directory

URLS = near(
    st.sampled_from(
        [
            "redis://user:pass@host:6379/0",
            "rediss://host/1?ssl_cert_reqs=none",
            "unix:///run/redis.sock?db=1",
            "redis+sentinel://h1:26379,h2/master/0",
            "redis+cluster://h1:7000,h2:7001",
            "redis://[::1]:1/0?username=u&password=p",
        ]
    )
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


def read(path: Path, environ: Mapping[str, str]) -> Config | None:
    """The configuration; None where it was refused, one line for each problem."""
    try:
        return load(read_file(path), environ, "node", load_kind)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert_one_line(problem)
        return None


def assert_is_right(found: Config) -> None:
    seconds = (found.heartbeat_seconds, found.slot_ttl_seconds, found.poll_interval_seconds)
    assert all(is_number(value) and value > 0 for value in seconds)
    assert found.slot_ttl_seconds >= found.heartbeat_seconds
    assert re.fullmatch(r"[^\s/{}]+", found.host) and re.fullmatch(r"[^\s/{}]+", found.key_prefix)
    assert found.journal is None or found.journal.is_absolute()
    for pool in found.pools:
        assert_pool_is_right(pool)


def assert_pool_is_right(pool: PoolConfig) -> None:
    assert isinstance(pool.max_rss, Size) and isinstance(pool.hard_max_rss, Size | None)
    assert is_whole(pool.strikes, 1) and is_whole(pool.max_draining, 1) and is_whole(pool.min_available, 0)
    times = (pool.min_uptime_seconds, pool.idle_within_seconds, pool.cooldown_seconds, pool.settle_seconds)
    assert all(math.isfinite(value) and value >= 0 for value in times)
    assert isinstance(pool.on_timeout, OnTimeout)
    assert pool.programs and all(pool.programs)
    assert set(pool.kind_values) == set(load_kind(pool.worker).options)


def assert_can_be_worked_with(found: Config) -> None:
    """All that a configuration that was taken is turned into, without anybody being asked."""
    supervisord: Any = None
    for pool in assembly.build_pools(found, Nobody()):  # type: ignore[arg-type]
        for size in (pool.config.max_rss, pool.config.hard_max_rss):
            if size is not None:
                is_below_baseline(100, size.resolve(2**34))
        format_duration(pool.config.idle_within_seconds)
    RedisCoordinator(
        lambda: supervisord,
        "here/s",
        "life",
        prefix=found.key_prefix,
        heartbeat_seconds=found.heartbeat_seconds,
        slot_ttl_seconds=found.slot_ttl_seconds,
    )


class Nobody:
    """Stands in for a supervisord that is not asked for anything."""

    def signal(self, worker: str, name: str) -> None:
        raise AssertionError("nothing is signalled here")


@tries(150)
@example("[memkill]\njournal = /\n", {})
@example(" [memkill:jobs]\n [memkill:jobs]\n", {})
@example("[memkill]\nhost = %(x\n y)s\n", {})
@example("[memkill:a\rb]\nmax_rss = 1\nbad\x0bkey = 1\n", {})
@example("[memkil\x85:a]\n", {})
@example("[memkill:jobs]\nworker = custom\nmax_rss = 1GB\nquiet_command = %(a\n  b)s\nbusy_command = x\n", {})
@given(
    st.one_of(files(), pools(), files(near(URLS)), TEXTS),
    st.dictionaries(st.just(REDIS_VARIABLE), st.one_of(URLS, ENVIRONMENT_TEXTS), max_size=1),
)
def test_any_file_is_a_configuration_or_one_line_for_each_problem(
    directory: Path, text: str, environ: Mapping[str, str]
) -> None:
    path = directory / "memkill.conf"
    path.write_bytes(text.encode())
    found = read(path, environ)
    if found is not None:
        assert_is_right(found)
        assert_can_be_worked_with(found)


@tries(50)
@given(st.binary(max_size=120))
def test_any_bytes_are_a_configuration_or_lines(directory: Path, data: bytes) -> None:
    path = directory / "bytes.conf"
    path.write_bytes(data)
    found = read(path, {})
    assert found is None or not found.pools


FILES_LINES = st.one_of(
    st.lists(
        st.sampled_from(
            ["*.conf", "x*", "[", "[a", "**", "a\0b", "a\0*", "%(here)s", "%(ENV_A)s", "%(no)s", "%", "%%"]
        )
        | st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=5),
        max_size=4,
    ).map(lambda words: "files = " + " ".join(words))
).filter(is_small)


@tries(100)
@example("[include]\nfiles = a\0*\n", "", {})
@example("[include]\nfiles = loop.conf\n", "", {})
@example("[supervisorctl]\nserverurl = unix://~nobody-of-that-name/x\n", "", {})
@given(
    st.tuples(st.lists(st.tuples(HEADS, st.lists(LINES, max_size=3)), max_size=3), FILES_LINES)
    .map(
        lambda parts: "\n".join(
            [*("\n".join([head, *lines]) for head, lines in parts[0]), "[include]", parts[1]]
        )
    )
    .filter(is_small),
    st.one_of(files(), TEXTS),
    st.dictionaries(st.just("A"), ENVIRONMENT_TEXTS, max_size=1),
)
def test_supervisords_files_are_read_through_or_refused_in_lines(
    directory: Path, main: str, included: str, environ: Mapping[str, str]
) -> None:
    """With the files that they include, those that are no files and those that lead to themselves."""
    here = directory / "etc"
    shutil.rmtree(here, ignore_errors=True)
    (here / "d.conf").mkdir(parents=True)
    path = here / "supervisord.conf"
    path.write_bytes(main.encode())
    (here / "x.conf").write_bytes(included.encode())
    (here / "loop.conf").symlink_to(here / "loop.conf")
    try:
        reading = supervisord_files.read_supervisord(path, environ, "node")
        address = supervisord_files.server_address(reading.supervisorctl, environ)
        assert address.serverurl
    except ConfigError as error:
        for problem in error.problems:
            assert_one_line(problem)
    assert supervisord_files.reader(path, environ)()("a", "b") in (True, False, None)


@tries(50)
@example(-1)
@given(st.integers())
def test_whatever_pid_supervisord_tells_its_command_line_is_looked_for(pid: int) -> None:
    assert which.file_of(which.by_hand("unix:///nowhere/s.sock", pid, {})) is None


@tries(150)
@given(st.one_of(files(), TEXTS, st.lists(st.tuples(HEADS, st.lists(LINES))).map(str)))
def test_supervisords_sections_are_found_or_unknown_in_any_file(directory: Path, text: str) -> None:
    path = directory / "programs.conf"
    path.write_bytes(text.encode())
    sections = read_sections([path], {}, "node")
    for name in sections.values:
        group = name.partition(":")[2]
        assert sections.stop_as_group(group, group) in (True, False, None)
        assert sections.is_listener_group(group) in (True, False, None)
    assert all(one is None or one.startswith(("unix://", "http://")) for one in sections.addresses())


KEYS = "numprocs process_name command stopsignal stopwaitsecs priority events programs killasgroup exitcodes"
ODD = ["", "%", "%(", "%(process_num)s", "%(process_num)d", "-1", "9" * 30, "2GB", "\x00", "x,y"]
SETTINGS = st.tuples(
    st.sampled_from([*KEYS.split(), "stdout_logfile_maxbytes"]), st.one_of(st.sampled_from(ODD), TEXTS)
)


@tries(150)
@given(
    st.lists(st.tuples(st.sampled_from(["program:x", "eventlistener:x", "group:x", "DEFAULT"]), SETTINGS)),
)
def test_programs_are_found_or_left_out_in_any_file(
    directory: Path, sections: list[tuple[str, tuple[str, str]]]
) -> None:
    path = directory / "programs.conf"
    lines = [f"[{head}]\n{key} = {value}" for head, (key, value) in sections]
    path.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    found = program_files.read([path], {}, "node")
    assert all(program.stopwaitsecs >= 0 for program in found.programs)
    assert all(isinstance(words, str) for words in (*found.too_large, *found.not_understood))


@tries(50)
@given(st.lists(TEXTS, max_size=4) | st.lists(st.sampled_from(["-c", "-cx", "--configuration=", "-n", "x"])))
def test_any_command_line_names_one_configuration_or_none(words: list[str]) -> None:
    running = Running(tuple(words), Path("/cwd"), (Path("/cwd"),))
    found = own_file(running, lambda path: True, lambda path, start: True)
    assert found is None or found.is_absolute()
    assert is_supervisord(words) in (True, False)


# --- Redis URLs -----------------------------------------------------------------------------------------

SECRETS = st.text(st.characters(categories=("L", "N")), min_size=8, max_size=12)


@tries(200)
@given(st.one_of(URLS, TEXTS, NUMBER_TEXTS))
def test_any_url_is_one_that_can_be_used_or_is_refused_without_being_repeated(url: str) -> None:
    try:
        redis_client.check(url)
    except ValueError as error:
        assert_one_line(str(error))
        with pytest.raises(MemkillError) as told:
            redis_client.connect(url, "test")
        assert_one_line(str(told.value))
        return
    if url.startswith("redis+cluster"):
        return  # its nodes would be asked
    assert redis_client.connect(url, "test") is not None


@tries(150)
@example("redis://a..b:1")
@example(f"redis://{'a' * 64}:1")
@example("redis://a%00b:1")
@example("unix:///a%00b")
@example("redis+sentinel://a..b:1/m")
@given(URLS)
def test_the_host_of_a_url_that_is_taken_can_be_looked_up(url: str) -> None:
    """What cannot even be asked for is no answer of Redis's: nobody downstream expects it."""
    with contextlib.suppress(ValueError):
        target = redis_url.parse(url)
        for host, port in target.nodes:
            assert is_encodable(host) and 0 < port < 2**16
        assert "\0" not in target.path


def is_encodable(host: str) -> bool:
    """As socket.getaddrinfo encodes it."""
    try:
        return b"\0" not in host.encode("ascii" if host.isascii() and ":" in host else "idna")
    except UnicodeError:
        return False


@tries(100)
@given(SECRETS, URLS.filter(lambda url: ":pass@" in url), TEXTS)
def test_a_password_is_never_shown(secret: str, url: str, around: str) -> None:
    assume(secret not in url)
    whole = url.replace(":pass@", f":{secret}@", 1)
    assert secret not in redis_url.masked(whole)
    assert secret not in redis_url.masked(f"redis://h/0?password={secret}")
    with contextlib.suppress(ValueError):
        redis_client.check(whole + around)


@tries(30)
@given(SECRETS, st.one_of(URLS.filter(lambda url: ":pass@" in url)), st.sampled_from(["file", "environment"]))
def test_no_problem_of_a_configuration_shows_the_password(
    directory: Path, secret: str, url: str, place: str
) -> None:
    assume(secret not in url)
    url = url.replace(":pass@", f":{secret}@", 1).replace("\n", "").replace("\r", "")
    path = directory / "secret.conf"
    line = f"redis = {url}\n" if place == "file" else ""
    path.write_bytes(f"[memkill]\nbad = 1\n{line}".encode())
    with pytest.raises(ConfigError) as told:
        load(read_file(path), {REDIS_VARIABLE: url} if place == "environment" else {}, "n", load_kind)
    assert secret not in str(told.value)


def test_the_right_ones_among_these_are_taken(directory: Path) -> None:
    """Or nothing but refusals would be seen."""
    path = directory / "right.conf"
    path.write_text("[memkill]\nheartbeat = 36500d\nslot_ttl = 36500d\n[memkill:jobs]\nmax_rss = 80%\n")
    assert read(path, {}) is None
    path.write_text("[memkill]\nheartbeat = 7300d\nslot_ttl = 36500d\n[memkill:jobs]\nmax_rss = 80%\n")
    found = read(path, {})
    assert found is not None
    assert_can_be_worked_with(found)
