"""Names of the environment in the configuration, and its variables that stand in for a key."""

from __future__ import annotations

import pytest

from supervisor_memkill.units import Size
from tests.config.written import SECRET, Written


def test_the_environments_redis_stands_in_for_an_absent_key_only(written: Written) -> None:
    environ = {"MEMKILL_REDIS": "redis://environment/0"}
    assert written.load("[memkill]\n", environ).redis == "redis://environment/0"
    assert written.load("", environ).redis == "redis://environment/0"
    assert written.load("[memkill]\nredis = redis://file/0\n", environ).redis == "redis://file/0"
    assert written.load("", {"MEMKILL_REDIS": ""}).redis is None


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


def test_a_bad_redis_of_the_environment_is_told_without_its_password(written: Written) -> None:
    (problem,) = written.problems("", {"MEMKILL_REDIS": f"redis://:{SECRET}@host:x"})
    assert problem.startswith("environment: MEMKILL_REDIS = 'redis://:***@host:x': must be a URL")
