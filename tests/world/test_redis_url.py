"""Redis URLs: which ones are accepted, with what meaning, and that no password is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.world.redis_client import check
from supervisor_memkill.world.redis_url import Reach, RedisUrl, masked, parse

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://localhost",
        "redis:///1",
        "redis://[::1]:6379/0",
        "redis://user:p%40ss@host/2",
        "redis://host?db=3&password=x",
        "rediss://host:6380/0?ssl_cert_reqs=none&ssl_check_hostname=no",
        "unix:///run/redis.sock?db=1",
        "unix://user:pass@/run/redis.sock",
        "redis+sentinel://one:26379,two:26379/mymaster/0",
        "redis+sentinel://:pass@one/mymaster?sentinel_password=x",
        "redis+cluster://one:6379,two:6379",
        "redis://my_redis:6379/0",
        "REDIS://host/0",
        "redis://word@host/0?password=x",
        "redis://word:@host/0",
        "rediss://host?ssl_ciphers=HIGH",
        "rediss+sentinel://one/mymaster?sentinel_ssl=no&ssl_check_hostname=no",
        "rediss+cluster://one:6379?ssl_cert_reqs=none",
    ],
)
def test_a_good_url_passes(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "begins with redis://, rediss://, unix://"),
        ("localhost:6379", "begins with redis://"),
        ("http://host", "begins with redis://"),
        ("redis://host:70000/0", "port is a number from 1 to 65535"),
        ("redis://host:no/0", "port is a number from 1 to 65535"),
        ("redis://host:0/0", "port is a number from 1 to 65535"),
        ("redis://:pa#ss@host/0", "without #"),
        ("redis://:pa/ss@host/0", "second @"),
        ("redis://host/jobs", "database is a whole number"),
        ("redis://host?db=jobs", "database is a whole number"),
        ("redis://a,b/0", "of one host"),
        ("redis://host/0 # why", "without white space"),
        ("redis://host/0?socket_timeout=60", "a URL without socket_timeout, which is fixed here: remove it"),
        ("redis://host/0?usename=x", "nothing after its ? but db, virtual_host, username, password;"),
        ("redis://host/0?usename=x", "did you mean username?"),
        ("rediss://host/0?ssl_check_hostname=x", "ssl_check_hostname is yes or no"),
        ("redis://[::1/0", "well-formed"),
        ("unix://run/redis.sock", "unix:///run/redis.sock"),
        ("unix://", "absolute path"),
        ("redis+sentinel://one:26379", "HOST:PORT,HOST:PORT/MASTER/DB"),
        ("redis+sentinel://one,/m", "HOST:PORT,HOST:PORT/MASTER/DB"),
        ("redis+cluster://one/3", "no database but 0"),
        (
            "redis://word@host/0",
            "redis://:PASSWORD@HOST, or redis://USER:@HOST for a user without",
        ),
        ("redis+sentinel://one/0", "with MASTER, the name that the sentinels know"),
        ("redis://a/0;redis://b/0", "of one server; of Celery's list with ; name the server"),
        ("redis://host/0/app", "a namespace goes into key_namespace"),
        ("redis://:pa[ss@host/0", "[ ] and % as %40 %2F %3F %23 %5B %5D and %25"),
        ("redis://:p%%40ss@host/0", "a URL without %%"),
        ("redis://host?db=1&db=2", "a URL that has db once"),
        ("redis://host?db=1&virtual_host=2", "a URL that has virtual_host once"),
        ("redis://host?ssl_cert_reqs=none", "begins with rediss:// (TLS), because it has ssl_cert_reqs"),
        ("redis+cluster://host?ssl=true", "begins with rediss+cluster:// (TLS), because it has ssl"),
        ("unix:///r.sock?ssl_cert_reqs=none", "a unix socket has no TLS"),
        (
            "rediss://host?ssl_cert_reqs=maybe",
            "ssl_cert_reqs is one of none, optional, required (also",
        ),
        (
            "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=yes",
            "without ssl_check_hostname=yes, or",
        ),
        (
            "rediss://host?ssl_ca_certs=/nonesuch.pem",
            "can be used (/nonesuch.pem): No such",
        ),
        ("rediss://host?ssl_ca_certs=", "ssl_ca_certs is a value"),
        ("rediss://host?ssl_ca_path=/dev/null", "ssl_ca_path is a directory, not '/dev/null'"),
        ("rediss://host?ssl_ca_data=x", "ssl_ca_data can be used: "),
        ("rediss://host?ssl_keyfile=/dev/null", "with ssl_certfile, because it has ssl_keyfile"),
        ("rediss://host?ssl_certfile=/dev/null", "ssl_certfile can be used (/dev/null): "),
        ("rediss://host?ssl_ciphers=none-such", "ssl_ciphers names a cipher"),
        ("localhost:6379", "; write redis://localhost:6379/0"),
        (":word@host:6379", "; write redis://:PASSWORD@HOST:PORT/0"),
        ("/run/redis.sock", "; write unix:///run/redis.sock?db=0"),
        ("unix:/run/redis.sock", "; write unix:///run/redis.sock?db=0"),
        ("'redis://host/0'", "; write it without quotes"),
        ("redis+unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=0 in place of redis+unix://"),
        ("redis+ssl://host:6380/2", "rediss://host:6380/2 in place of redis+ssl://"),
        ("valkey://:pw@host:6379/2", "redis://:PASSWORD@host:6379/2 in place of valkey://"),
        ("valkeys://host", "rediss://host/0 in place of valkeys://"),
        ("sentinel://a:1;sentinel://b:2/3", "redis+sentinel://a:1,b:2/MASTER/3 (MASTER is the name"),
        ("rediss-sentinel://a:1,b:2/3", "rediss+sentinel://a:1,b:2/MASTER/3 (MASTER is the name"),
        ("sentinel://:word@a:1;sentinel://:word@b:2", "redis+sentinel://:PASSWORD@a:1,b:2/MASTER/0 ("),
        ("redis-cluster://a:1,b:2", "redis+cluster://a:1,b:2 in place of redis-cluster://"),
    ],
)
def test_a_bad_url_is_refused_in_words_that_say_what_is_allowed(url: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        check(url)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://host?db=3", RedisUrl(Reach.SERVER, nodes=(("host", 6379),), db=3)),
        ("redis://host/1?virtual_host=/3", RedisUrl(Reach.SERVER, nodes=(("host", 6379),), db=3)),
        ("redis+socket:///r.sock?virtual_host=2", RedisUrl(Reach.SOCKET, path="/r.sock", db=2)),
        ("unix:///r.sock?db=2", RedisUrl(Reach.SOCKET, path="/r.sock", db=2)),
        (
            "rediss+sentinel://a,b:1/main/2",
            RedisUrl(Reach.SENTINELS, True, (("a", 26379), ("b", 1)), master="main", db=2),
        ),
        ("rediss+cluster://a,b:1", RedisUrl(Reach.CLUSTER, True, (("a", 6379), ("b", 1)))),
    ],
)
def test_spellings_of_the_frameworks_have_the_meaning_that_they_have_there(url: str, meant: RedisUrl) -> None:
    assert parse(url) == meant


@pytest.mark.parametrize("word", ["none", "None", "NONE", "CERT_NONE", "cert_none"])
def test_each_spelling_of_no_check_of_certificates_is_the_same(word: str) -> None:
    assert parse(f"rediss://host?ssl_cert_reqs={word}").options == {"ssl_cert_reqs": "none"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://:p%40ss@host", {"password": "p@ss"}),
        ("redis://:a+b@host", {"password": "a+b"}),
        ("redis://user:pw@host", {"username": "user", "password": "pw"}),
        ("redis://user:@host", {"username": "user"}),
        ("redis://one:two@host?username=three&password=four", {"username": "one", "password": "two"}),
        ("redis://host?password=a%2525b", {"password": "a%25b"}),
    ],
)
def test_user_and_password_are_those_that_redis_py_sends(url: str, options: dict[str, str]) -> None:
    assert parse(url).options == options


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis+sentinel://a:1,b:2/m/0", "redis+sentinel://a:1,b:2/m/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("redis://user:s3cret@host/0", "redis://user:***@host/0"),
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("redis://s3cret@host/0", "redis://***@host/0"),
        ("redis://:a@s3cret/b#c@host/0", "redis://:***@host/0"),
        ("redis://host/0?password=s3cret&db=1", "redis://host/0?password=***&db=1"),
        ("redis://host/0?passw%6Frd=s3cret", "redis://host/0?passw%6Frd=***"),
        ("redis+sentinel://h/m?sentinel_password=s3cret", "redis+sentinel://h/m?sentinel_password=***"),
        ("redis://:s3cret", "redis://***"),
        (":s3cret@host", ":***@host"),
        ("redis-cli -u redis://:s3cret@host get x", "redis-cli -u redis://:***@host get x"),
        ("sentinel://:s3cret@a:1;sentinel://:s3cret@b:2/0", "sentinel://:***@b:2/0"),
        ("rediss://h?ssl_keyfile=/k&ssl_password=s3cret", "rediss://h?ssl_keyfile=/k&ssl_password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


PIECES = st.text(alphabet="ab:/?#@%&=[], ", max_size=8)


@given(st.sampled_from(["redis", "unix", "redis+sentinel", "sentinel", "redis+ssl"]), PIECES, PIECES, PIECES)
def test_no_malformed_url_gives_its_password_away(scheme: str, before: str, after: str, rest: str) -> None:
    url = f"{scheme}://{before}:{before}{SECRET}{after}@host{rest.replace('@', '')}"
    assert SECRET not in masked(url)
    try:
        check(url)
    except ValueError as refused:
        assert SECRET not in str(refused)
