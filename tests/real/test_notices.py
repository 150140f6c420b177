"""Messages through apprise to a real SMTP server and a real HTTP endpoint, and to servers that fail."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.notices.fleet import RedisFleet
from supervisor_memkill.notices.messages import Message
from supervisor_memkill.notices.send import UNKNOWN_URL, send
from supervisor_memkill.world.redis_client import connect
from tests.command_line import run
from tests.harness import PATIENCE_SECONDS, Offspring, free_port, wait_for
from tests.real.listener_process import AnsweringSupervisord, listener_under
from tests.real.mail import Endpoint, Mailbox, http_server, mail_server, silent_server
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

GHOSTS = "".join(f"[memkill:ghost{number}]\nmax_rss = 1GB\n" for number in range(3))
"""Pools that match no worker: the first check reports each of them."""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as found:
        yield found


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_server() as found:
        yield found


def test_message_arrives_at_every_server_that_takes_it(mailbox: Mailbox, endpoint: Endpoint) -> None:
    gone = f"json://user:s3cret@127.0.0.1:{free_port()}/"
    unknown = "nonsense://s3cret"
    errors = send([mailbox.url, gone, endpoint.url, unknown], Message("a title", "<b>line</b> one\nline two"))
    assert [errors[0], errors[2], errors[3]] == [None, None, UNKNOWN_URL]
    assert errors[1] is not None and "s3cret" not in errors[1]
    (mail,) = mailbox.messages
    assert (mail["Subject"], mail["To"]) == ("a title", "ops@example.org")
    assert "line" in str(mail.get_body()) and "line two" in str(mail.get_body())
    (post,) = endpoint.posts
    assert (post["title"], post["type"], post["message"]) == ("a title", "info", "<b>line</b> one\nline two")


def test_check_of_urls_sends_nothing(mailbox: Mailbox, endpoint: Endpoint) -> None:
    assert send([mailbox.url, endpoint.url, "slack://bad"], None) == [None, None, UNKNOWN_URL]
    assert (mailbox.messages, endpoint.posts) == ([], [])


def test_slow_server_holds_up_no_other(endpoint: Endpoint) -> None:
    with silent_server() as port:
        slow = f"mailto://127.0.0.1:{port}/?from=a@example.org&to=b@example.org&mode=insecure"
        errors = send([slow, endpoint.url], Message("t", "b"), answer_seconds=2)
    assert errors == ["no answer within 2 s", None]
    assert len(endpoint.posts) == 1


def test_test_message_reports_the_result_of_each_url(
    mailbox: Mailbox, endpoint: Endpoint, tmp_path: Path
) -> None:
    gone = f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7F@127.0.0.1:{free_port()}"
    config = tmp_path / "memkill.conf"
    config.write_text(f"[memkill]\nhost = web-1\nnotify = {mailbox.url} {endpoint.url} {gone}\n")
    done = run(tmp_path, "notify", "--test", "--config", str(config))
    lines = done.stdout.splitlines()
    assert lines[:2] == ["mailto://***: sent", "json://***: sent"]
    assert lines[2].startswith("slack://***: failed: ")
    assert (done.returncode, done.stderr) == (1, "")
    assert "TIiajkdnlazkcOXrIdevi7F" not in done.stdout
    assert "This is a test message of supervisor-memkill on web-1." in str(mailbox.messages[0].get_body())


def test_urls_of_the_environment_are_used(endpoint: Endpoint, tmp_path: Path) -> None:
    config = tmp_path / "memkill.conf"
    config.write_text("[memkill]\n")
    done = run(
        tmp_path, "notify", "--test", "--config", str(config), changes={"MEMKILL_NOTIFY": endpoint.url}
    )
    assert (done.returncode, done.stdout) == (0, "json://***: sent\n"), done.stderr


def test_listener_sends_one_message_for_all_events_of_a_moment(
    supervisord: AnsweringSupervisord, mailbox: Mailbox, endpoint: Endpoint, tmp_path: Path
) -> None:
    settings = f"notify = {mailbox.url} {endpoint.url}\nnotify_events = pool.note"
    with listener_under(supervisord, tmp_path, settings, GHOSTS) as listener:
        listener.say()
        wait_for(lambda: mailbox.messages and endpoint.posts, message="both messages")
    (post,) = endpoint.posts
    assert "pool.note (3 times)" in post["title"]
    assert post["message"].count("ghost") >= 3
    assert "notify.failed" not in listener.log()


def test_servers_that_are_slow_or_gone_delay_no_check_and_not_the_end(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    """Nothing is left of what tried to reach them."""
    offspring = Offspring()
    with silent_server() as port:
        slow = f"mailto://me:s3cretword@127.0.0.1:{port}/?from=a@example.org&to=b@example.org&mode=insecure"
        gone = f"json://127.0.0.1:{free_port()}/s3cretword"
        settings = f"notify = {slow} {gone} nonsense://s3cretword\nnotify_events = pool.note"
        mark = offspring.environment()
        environment = {"MEMKILL_TEST_MARK": mark["MEMKILL_TEST_MARK"]}
        with listener_under(supervisord, tmp_path, settings, GHOSTS, environment) as listener:
            listener.say()
            wait_for(lambda: len(offspring.living()) > 1, message="the message is being sent", every=0.2)
            for _ in range(5):
                listener.say()
                assert supervisord.is_checked_within(PATIENCE_SECONDS)
            wait_for(lambda: listener.say() and "nonsense://***" in listener.log(), message="the failure")
            before = time.monotonic()
            listener.popen.send_signal(signal.SIGTERM)
            assert listener.popen.wait(PATIENCE_SECONDS) == -signal.SIGTERM
            assert time.monotonic() - before < PATIENCE_SECONDS / 2
            assert "s3cretword" not in listener.log()
    wait_for(lambda: not offspring.living(), message="nothing is left")


def test_hosts_that_share_a_redis_leave_their_lines_with_the_first(redis_server: RealRedis) -> None:
    hosts = [
        RedisFleet(lambda: connect(redis_server.url, "test"), "mk", name, "urls") for name in ("a", "b", "c")
    ]
    assert [host.leave("journal.away", [f"line {number}"]) for number, host in enumerate(hosts)] == [
        False,
        True,
        True,
    ]
    assert hosts[2].take_back("journal.away", ["line 2"])
    assert hosts[0].collect("journal.away") == ["line 1"]
    assert not hosts[1].take_back("journal.away", ["line 1"])
    with redis_server.client() as client:
        keys = client.keys("*")
        assert len(keys) == 1 and client.ttl(keys[0]) > 0, "nothing stays for ever"


def test_user_of_redis_without_these_permissions_sends_alone(redis_server: RealRedis) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL SETUSER few on >pw ~* +hget +ping +client|setname")
    url = redis_server.url.replace("redis://", "redis://few:pw@")
    fleet = RedisFleet(lambda: connect(url, "test"), "mk", "a", "urls")
    assert not fleet.leave("journal.away", ["line"])
    assert fleet.collect("journal.away") == []
