"""Messages reach each URL once, a failed one is tried again, and a fleet sends one."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence

from supervisor_memkill.notices.delivery import Delivery, Outcomes
from supervisor_memkill.notices.delivery_events import NoticeFailed
from supervisor_memkill.notices.digest import GATHER_SECONDS, WINDOW_SECONDS
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import JournalAway, SupervisordAway
from supervisor_memkill.notices.fleet import RedisFleet
from supervisor_memkill.notices.messages import Message
from supervisor_memkill.notices.notify import (
    MAX_RETRIES,
    OTHERS_SECONDS,
    RETRY_SECONDS,
    TAKE_BACK_SECONDS,
    NoticeWorker,
)
from tests.notices.fake_redis import FakeRedis
from tests.notices.test_event import Kept

MAIL, HOOK = "mailto://me:pw@mail.example.org", "json://host"


class Post:
    """Keeps what each URL got; the URLs in `gone` fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.checked: list[str] = []
        self.tried = 0
        self.gone: set[str] = set()
        self.given_up = False
        self.breaks: Exception | None = None

    def __call__(
        self, urls: Sequence[str], message: Message | None, is_given_up: Callable[[], bool]
    ) -> Sequence[str | None]:
        self.given_up = is_given_up()
        if self.breaks is not None:
            raise self.breaks
        if message is None:
            self.checked += urls
        else:
            self.tried += 1
            self.sent += [(url, message) for url in urls if url not in self.gone]
        return ["no answer" if url in self.gone else None for url in urls]

    def titles(self) -> list[str]:
        return [message.title.removeprefix("supervisor-memkill: ") for _, message in self.sent]


class Host:
    """One host's worker; the test is its thread and its clock."""

    def __init__(
        self, urls: Sequence[str] = (MAIL,), name: str = "a", redis: FakeRedis | None = None
    ) -> None:
        self.now = 0.0
        self.post = Post()
        self.log = Kept()
        self.outcomes: Outcomes = queue.SimpleQueue()
        self._notifier = Notifier([self.log])
        fleet = None if redis is None else RedisFleet(lambda: redis, "mk", name, "group")
        self.worker = NoticeWorker(urls, name, self.outcomes, self.post, fleet, lambda: self.now)
        self.pass_seconds(0.0)

    def event(self, error: str = "refused") -> None:
        self.worker.take(Delivery(SupervisordAway(error), self.now))

    def pass_seconds(self, seconds: float) -> None:
        """As the thread does: called whenever something is due, and not before."""
        end = self.now + seconds
        while (wait := self.worker.wait_seconds()) is not None and self.now + wait <= end:
            self.now += wait
            self.worker.go_on()
        self.now = end

    def failures(self) -> list[NoticeFailed]:
        while not self.outcomes.empty():
            self.outcomes.get_nowait()(self._notifier)
        return [one for one in self.log.events if isinstance(one, NoticeFailed)]


def test_urls_are_checked_at_the_start_and_nothing_is_sent() -> None:
    host = Host([MAIL, HOOK])
    assert (host.post.checked, host.post.sent) == ([MAIL, HOOK], [])
    assert host.worker.wait_seconds() is None


def test_wrong_url_is_reported_at_the_start_without_its_secrets() -> None:
    host = Host()
    host.post.gone = {MAIL}
    host.worker._check()
    assert host.failures() == [NoticeFailed("mailto://***", "no answer")]


def test_failure_is_reported_again_after_a_success() -> None:
    host = Host()
    for gone in ({MAIL}, set[str](), {MAIL}):
        host.post.gone = gone
        host.worker._check()
    assert host.failures() == [NoticeFailed("mailto://***", "no answer")] * 2


def test_error_of_the_program_itself_does_not_end_the_messages_and_shows_no_secret() -> None:
    host = Host()
    host.post.breaks = OSError(24, f"Too many open files: {MAIL}")
    host.event()
    host.pass_seconds(GATHER_SECONDS)
    assert host.failures() == [
        NoticeFailed("mailto://***", "OSError: [Errno 24] Too many open files: ***"),
    ]
    host.post.breaks = None
    host.pass_seconds(RETRY_SECONDS[0])
    assert len(host.post.sent) == 1


def test_storm_is_two_messages_with_the_whole_count() -> None:
    host = Host()
    for _ in range(100):
        host.event()
        host.pass_seconds(0.25)
    host.pass_seconds(WINDOW_SECONDS * 2)
    assert host.post.titles() == ["supervisord.away (20 times) on a", "supervisord.away (80 times) on a"]


def test_message_is_tried_again_where_it_failed_and_nowhere_else() -> None:
    host = Host([MAIL, HOOK])
    host.post.gone = {MAIL}
    host.event()
    host.pass_seconds(GATHER_SECONDS)
    assert [url for url, _ in host.post.sent] == [HOOK]
    host.pass_seconds(RETRY_SECONDS[0])
    host.post.gone = set()
    host.pass_seconds(sum(RETRY_SECONDS))
    assert [url for url, _ in host.post.sent] == [HOOK, MAIL]
    assert len(host.failures()) == 1, "each different error is reported once"


def test_message_is_given_up_after_the_last_try() -> None:
    host = Host()
    host.post.gone = {MAIL}
    host.event()
    host.pass_seconds(GATHER_SECONDS + sum(RETRY_SECONDS) * 2)
    assert host.post.tried == 1 + len(RETRY_SECONDS)
    assert host.worker.wait_seconds() is None


def test_messages_that_wait_for_another_try_are_bounded() -> None:
    host = Host()
    host.post.gone = {MAIL}
    for _ in range(MAX_RETRIES * 3):
        host.event()
        host.pass_seconds(0)
        host.worker._dispatch(Message("title", "body"))
    assert len(host.worker._agenda) == MAX_RETRIES


def test_message_that_was_tried_again_makes_room_for_another() -> None:
    host = Host()
    host.post.gone = {MAIL}
    for _ in range(MAX_RETRIES):
        host.worker._dispatch(Message("title", "body"))
    host.post.gone = set()
    host.pass_seconds(RETRY_SECONDS[0])
    host.post.gone = {MAIL}
    host.worker._dispatch(Message("title", "body"))
    assert len(host.worker._agenda) == 1


def test_sending_that_was_given_up_knows_it() -> None:
    host = Host()
    host.worker.give_up()
    host.event()
    host.pass_seconds(GATHER_SECONDS)
    assert host.post.given_up


def test_end_sends_what_waits_at_once() -> None:
    host = Host()
    host.event()
    host.worker.take(Delivery(JournalAway("disk"), 0.0))
    host.worker.finish()
    assert host.post.titles() == ["supervisord.away on a", "journal.away on a"]


# --- a fleet -----------------------------------------------------------------------------------


def fleet(*names: str) -> tuple[FakeRedis, list[Host]]:
    redis = FakeRedis()
    return redis, [Host(name=name, redis=redis) for name in names]


def pass_for_all(hosts: Sequence[Host], seconds: float) -> None:
    for _ in range(int(seconds)):
        for host in hosts:
            host.pass_seconds(1.0)


def test_event_on_many_hosts_is_one_message_of_one_host() -> None:
    _, hosts = fleet("a", "b", "c")
    for host in hosts:
        host.event()
    pass_for_all(hosts, GATHER_SECONDS + OTHERS_SECONDS + 1)
    assert [host.post.titles() for host in hosts] == [["supervisord.away on a and 2 other hosts"], [], []]
    assert "b: " in hosts[0].post.sent[0][1].body and "c: " in hosts[0].post.sent[0][1].body
    pass_for_all(hosts, TAKE_BACK_SECONDS + 10)
    assert sum(len(host.post.sent) for host in hosts) == 1


def test_hosts_that_come_later_are_in_the_digest_at_the_end_of_the_window() -> None:
    _, hosts = fleet("a", "b", "c")
    hosts[0].event()
    pass_for_all(hosts, 30)
    hosts[1].event()
    hosts[2].event()
    pass_for_all(hosts, WINDOW_SECONDS + 10)
    assert hosts[0].post.titles() == ["supervisord.away on a", "supervisord.away on 2 other hosts"]
    assert hosts[1].post.sent == hosts[2].post.sent == []
    pass_for_all(hosts, TAKE_BACK_SECONDS)
    assert hosts[1].post.sent == hosts[2].post.sent == []


def test_death_of_the_host_that_sends_hides_no_event() -> None:
    _, (first, second) = fleet("a", "b")
    first.event()
    first.pass_seconds(GATHER_SECONDS)  # It has the claim, and dies.
    second.event()
    second.pass_seconds(TAKE_BACK_SECONDS + GATHER_SECONDS + 1)
    assert second.post.titles() == ["supervisord.away on b"]


def test_without_redis_each_host_sends_its_own() -> None:
    redis, hosts = fleet("a", "b")
    redis.is_away = True
    for host in hosts:
        host.event()
    pass_for_all(hosts, GATHER_SECONDS + OTHERS_SECONDS + 1)
    assert [host.post.titles() for host in hosts] == [["supervisord.away on a"], ["supervisord.away on b"]]


def test_redis_that_goes_away_meanwhile_hides_no_event() -> None:
    redis, (first, second) = fleet("a", "b")
    first.event()
    first.pass_seconds(GATHER_SECONDS)
    second.event()
    second.pass_seconds(GATHER_SECONDS)
    redis.is_away = True
    pass_for_all([first, second], TAKE_BACK_SECONDS + 1)
    assert first.post.titles() == ["supervisord.away on a"]
    assert second.post.titles() == ["supervisord.away on b"]


def test_end_of_a_host_takes_back_what_nobody_sent() -> None:
    _, (first, second) = fleet("a", "b")
    first.event()
    first.pass_seconds(GATHER_SECONDS)
    second.event()
    second.pass_seconds(GATHER_SECONDS)
    second.worker.finish()
    assert second.post.titles() == ["supervisord.away on b"]
    first.pass_seconds(OTHERS_SECONDS)
    assert first.post.titles() == ["supervisord.away on a"]


def test_other_events_and_other_urls_are_claimed_apart() -> None:
    redis = FakeRedis()
    one = RedisFleet(lambda: redis, "mk", "a", "urls")
    other = RedisFleet(lambda: redis, "mk", "b", "other")
    assert not one.leave("journal.away", ["line"])
    assert not other.leave("journal.away", ["line"])
    assert not RedisFleet(lambda: redis, "mk", "c", "urls").leave("supervisord.away", ["line"])
    assert RedisFleet(lambda: redis, "mk", "c", "urls").leave("journal.away", ["line"])


def test_line_that_another_host_left_is_one_line_of_bounded_length() -> None:
    """Whoever may write to Redis may have left it."""
    redis = FakeRedis()
    redis.lists["mk:{notice:journal.away:group}:lines"] = ["b: one\nb: two\x1b[2J", "c" * 10**6]
    first, second = RedisFleet(lambda: redis, "mk", "a", "group").collect("journal.away")
    assert first == "b: one\\nb: two\\x1b[2J"
    assert len(second) < 1000
