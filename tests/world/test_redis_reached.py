"""Each way to reach a real Redis: with TLS, users, sentinels, clusters; and what is said of a wrong one.

Every test runs with the redis-py of the tests, and with the oldest one that is supported.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import connection_makers, parse_broker
from supervisor_memkill.world.redis_client import ask as ask_redis
from supervisor_memkill.world.redis_client import connect
from tests.harness import PROGRAMS, free_port, missing, short_directory, supervisor42_python
from tests.redis_servers import Certificates, cluster, make_certificates, redis_with, sentinel

pytestmark = pytest.mark.real

SECRET = "p@ss/w%rd"
QUOTED = "p%40ss%2Fw%25rd"

Ask = Callable[..., list[str]]


def ask_with(python: str, *urls: str) -> list[str]:
    """What became of each URL, in the words of tests/programs/ask_redis.py."""
    package = Path(__file__).parents[2]
    command = [python, str(PROGRAMS / "ask_redis.py"), *urls]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(package)}
    )
    if "No module named 'redis'" in done.stderr:
        missing(f"{python} has no redis-py")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout and QUOTED not in done.stdout
    return done.stdout.splitlines()


@pytest.fixture(params=["newest", "oldest"])
def ask(request: pytest.FixtureRequest) -> Ask:
    python = supervisor42_python() if request.param == "oldest" else sys.executable
    return lambda *urls: ask_with(python, *urls)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture(scope="module")
def certificates(directory: Path) -> Certificates:
    return make_certificates(directory)


@pytest.fixture(scope="module")
def with_tls(directory: Path, certificates: Certificates) -> Iterator[tuple[int, int]]:
    """The ports of a Redis with TLS: with TLS, and without."""
    port = free_port()
    with redis_with(directory / "tls", *certificates.settings(port)) as server:
        yield port, server.port


def test_tls_is_checked_as_the_url_says(
    ask: Ask, with_tls: tuple[int, int], certificates: Certificates
) -> None:
    port, _ = with_tls
    authority = f"ssl_ca_certs={certificates.authority}"
    good = [
        f"rediss://localhost:{port}/0?{authority}",
        f"rediss://localhost:{port}/0?{authority}&ssl_check_hostname=yes",
        f"rediss://127.0.0.1:{port}/0?{authority}&ssl_check_hostname=no",
        *(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs={word}" for word in ("none", "None", "CERT_NONE")),
    ]
    assert ask(*good) == ["ok"] * len(good)
    unknown, mismatch = ask(
        f"rediss://localhost:{port}", f"rediss://127.0.0.1:{port}?{authority}&ssl_check_hostname=yes"
    )
    assert "name the certificate of its authority with ?ssl_ca_certs=/PATH" in unknown
    assert "?ssl_check_hostname=no" in mismatch


def test_a_client_shows_its_own_certificate(ask: Ask, short_path: Path, certificates: Certificates) -> None:
    port = free_port()
    settings = certificates.settings(port, asks_clients=True)
    with redis_with(short_path / "clients", *settings):
        url = f"rediss://localhost:{port}?ssl_ca_certs={certificates.authority}"
        own = f"&ssl_certfile={certificates.certificate}&ssl_keyfile={certificates.key}"
        answered, refused, mixed = ask(
            url + own, url, f"{url}&ssl_certfile={certificates.authority}&ssl_keyfile={certificates.key}"
        )
    assert answered == "ok"
    assert refused.startswith("unknown Redis: ")
    assert "certificate required" not in refused or "name it with ?ssl_certfile=/PATH" in refused
    assert mixed.startswith("refused must be a URL whose ssl_certfile and ssl_keyfile can be used")


def test_tls_and_none_mistaken_for_each_other_are_told(ask: Ask, with_tls: tuple[int, int]) -> None:
    tls_port, port = with_tls
    plain, secure = ask(f"redis://localhost:{tls_port}", f"rediss://localhost:{port}?ssl_cert_reqs=none")
    assert "if this port is with TLS, write rediss:// in place of redis://" in plain
    assert "if this port is without TLS, write redis:// in place of rediss://" in secure


def test_passwords_and_users_of_redis(ask: Ask, short_path: Path) -> None:
    with redis_with(short_path / "users", "--user", "joe", "on", f">{SECRET}", "~*", "+@all") as server:
        with server.client() as client:
            client.config_set("requirepass", SECRET)
        host = f"127.0.0.1:{server.port}"
        good = [
            f"redis://:{QUOTED}@{host}",
            f"redis://default:{QUOTED}@{host}/3",
            f"redis://joe:{QUOTED}@{host}",
            f"redis://{host}?username=joe&password={QUOTED}",
            f"unix://joe:{QUOTED}@{server.socket}?db=2",
            f"redis+socket://:{QUOTED}@{server.socket}?virtual_host=2",
        ]
        assert ask(*good) == ["ok"] * len(good)
        none, wrong_user, word, wrong = ask(
            f"redis://{host}",
            f"redis://h:{QUOTED}@{host}",
            f"redis://{QUOTED}@{host}",
            f"redis://:wrong@{host}",
        )
    assert "the URL needs its password: redis://:PASSWORD@HOST" in none
    assert "leave out the user name: redis://:PASSWORD@HOST" in wrong_user
    assert word.startswith("refused must be redis://:PASSWORD@HOST, or redis://USER:@HOST")
    assert "invalid username-password pair" in wrong


def test_sentinels_with_and_without_tls(
    ask: Ask, short_path: Path, certificates: Certificates, with_tls: tuple[int, int]
) -> None:
    tls_port, port = with_tls
    by_name = ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"]
    secure = [*by_name, f"sentinel monitor main localhost {tls_port} 1"]
    sentinel_port = free_port()
    with (
        sentinel(short_path, secure, *certificates.settings(sentinel_port)) as plain_port,
        sentinel(short_path, [f"sentinel monitor main 127.0.0.1 {port} 1", "requirepass word"]) as other_port,
    ):
        authority = f"ssl_ca_certs={certificates.authority}"
        good = [
            f"rediss+sentinel://localhost:{sentinel_port}/main/0?{authority}",
            f"rediss+sentinel://localhost:1,localhost:{sentinel_port}/main?ssl_cert_reqs=CERT_NONE",
            f"rediss+sentinel://localhost:{plain_port}/main?{authority}&sentinel_ssl=no",
            f"redis+sentinel://127.0.0.1:{other_port}/main/2?sentinel_password=word",
        ]
        assert ask(*good) == ["ok"] * len(good)
        without_tls, without_password, mistaken, asked = ask(
            f"redis+sentinel://localhost:{sentinel_port}/main",
            f"redis+sentinel://127.0.0.1:{other_port}/main",
            f"redis+sentinel://127.0.0.1:{port}/main",
            f"redis://localhost:{plain_port}",
        )
    for words in (without_tls, without_password):
        assert "no sentinel answers" in words and "rediss+sentinel://" in words and "<" not in words
    assert "sentinel" in mistaken
    assert "if this is a sentinel, write redis+sentinel://HOST:PORT/MASTER/DB" in asked


def test_a_cluster_with_and_without_tls(ask: Ask, short_path: Path, certificates: Certificates) -> None:
    folder = short_path / "cluster"
    folder.mkdir()
    with cluster(folder, certificates) as (one, two), redis_with(short_path / "single") as single:
        good = [
            f"redis+cluster://127.0.0.1:1,127.0.0.1:{two.server.port}",
            f"rediss+cluster://127.0.0.1:{one.tls_port}?ssl_cert_reqs=none",
        ]
        assert ask(*good) == ["ok"] * len(good)
        plain, none = ask(f"redis://127.0.0.1:{one.server.port}", f"redis+cluster://127.0.0.1:{single.port}")
    assert plain == (
        "unknown Redis: this Redis is a node of a cluster (MOVED):"
        " write redis+cluster:// in place of redis://"
    )
    assert "write redis:// in place of redis+cluster://" in none


def test_celerys_broker_is_reached_with_tls(with_tls: tuple[int, int], certificates: Certificates) -> None:
    port, _ = with_tls
    authority = f"ssl_ca_certs={certificates.authority}"
    for url in (
        f"rediss://localhost:{port}/1",  # Celery checks no certificate then
        f"rediss://localhost:{port}/1?ssl_cert_reqs=CERT_NONE",
        f"rediss://127.0.0.1:{port}/1?{authority}&ssl_check_hostname=no",
        f"rediss://localhost:{port}?virtual_host=1&{authority}",
    ):
        connection = connection_makers({"broker": parse_broker(url)}, tools())[0]()
        try:
            connection.connect()
            assert connection.default_channel.client.ping()
        finally:
            connection.release()
    with pytest.raises(MemkillError):
        ask_redis(lambda: connect(f"rediss://localhost:{port}/1", "test"), lambda redis: redis.ping())


@pytest.mark.parametrize("disabled", ["HELLO", "CLIENT"])
def test_a_redis_or_a_proxy_without_a_command_for_beginnings_is_reached(
    ask: Ask, short_path: Path, disabled: str
) -> None:
    """As Redis 5 without HELLO (redis/redis-py#4089), and proxies without CLIENT (redis/redis-py#2384)."""
    with redis_with(short_path / "redis", "--rename-command", disabled, "") as server:
        assert ask(server.url) == ["ok"]


def test_an_address_that_only_the_sentinels_can_reach_is_named(ask: Ask, directory: Path) -> None:
    """As in a network of containers (s7anley/redis-sentinel-docker#11)."""
    port = free_port()
    with sentinel(directory, [f"sentinel monitor mymaster 127.0.0.1 {port} 1"]) as own:
        (told,) = ask(f"redis+sentinel://127.0.0.1:{own}/mymaster")
    assert f"the sentinels name 127.0.0.1:{port} as the master's address: it must be reachable" in told
