"""Redis URLs: which ones are accepted, and that no password is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.world.redis_url import check, masked

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
        ("redis://host/0?socket_timeout=60", "nothing after its ? but db, username, password"),
        ("rediss://host/0?ssl_check_hostname=x", "ssl_check_hostname is yes or no"),
        ("redis://[::1/0", "well-formed"),
        ("unix://run/redis.sock", "unix:///run/redis.sock"),
        ("unix://", "absolute path"),
        ("redis+sentinel://one:26379", "HOST:PORT,HOST:PORT/MASTER/DB"),
        ("redis+sentinel://one,/m", "HOST:PORT,HOST:PORT/MASTER/DB"),
        ("redis+cluster://one/3", "no database but 0"),
    ],
)
def test_a_bad_url_is_refused_in_words_that_say_what_is_allowed(url: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        check(url)
    assert told in str(refused.value)


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
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


PIECES = st.text(alphabet="ab:/?#@%&=[], ", max_size=8)


@given(st.sampled_from(["redis", "unix", "redis+sentinel"]), PIECES, PIECES, PIECES)
def test_no_malformed_url_gives_its_password_away(scheme: str, before: str, after: str, rest: str) -> None:
    url = f"{scheme}://{before}:{before}{SECRET}{after}@host{rest.replace('@', '')}"
    assert SECRET not in masked(url)
    try:
        check(url)
    except ValueError as refused:
        assert SECRET not in str(refused)
