"""Symfony Messenger: recognition, consumer names on the Redis transport, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest
import redis

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.workers.messenger import Messenger

TITLE = "php /srv/app/bin/console messenger:consume async --time-limit=3600"
GOOD = replace(program_info("php bin/console messenger:consume async", stopwaitsecs=600), stopasgroup=False)
DEFAULTS = {"command_has": None, "stream": None, "consumer_group": "symfony"}
HOUR = 3_600_000
"""In milliseconds."""


class FakeStreams(FakeRedis):
    """A Redis with one stream, or with a key of another type."""

    def __init__(
        self, *consumers: tuple[str, int, int], key: str = "messages", group: str = "symfony"
    ) -> None:
        """`consumers`: name, pending messages, milliseconds since it last asked."""
        super().__init__({key: [{"name": name, "pending": p, "idle": idle} for name, p, idle in consumers]})
        self.group = group
        self.kind_of_key = "stream"

    def type(self, key: str) -> str:
        self.travel()
        return self.kind_of_key if key in self.data else "none"

    def xinfo_groups(self, key: str) -> Any:
        self.travel()
        return [{"name": self.group}]

    def xinfo_consumers(self, key: str, group: str) -> Any:
        self.travel()
        return self.data[key]


def read_two(store: FakeRedis | None, **values: object) -> list[Reading]:
    """The readings of two workers and of another process in the same pool."""
    kind = Messenger({**DEFAULTS, **values}, tools((lambda: store) if store else None))
    table = FakeProcesses({100: TITLE, 101: TITLE, 102: "php bin/console cache:warmup"}).table
    targets = [Target(process(pid, f"jobs_{pid}")) for pid in (100, 101, 102)]
    return list(kind.read(targets, table).values())


def advice(program: ProgramInfo, max_rss_bytes: int | None = None) -> list[tuple[str, bool]]:
    kind = Messenger(DEFAULTS, tools(max_rss_bytes=max_rss_bytes))
    return [(one.text, one.refuses) for one in kind.advice(program, 600.0)]


class TestContract(ContractSuite):
    kind = Messenger
    title = TITLE
    reads_redis = True

    def make(self, store: FakeRedis) -> Messenger:
        streams = FakeStreams(("one", 0, 5))
        streams.error = store.error
        streams.data |= store.data
        return Messenger({**self.defaults(), **self.values}, tools(lambda: streams))

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data["messages"] = [garbage, {"name": garbage, "pending": garbage, "idle": garbage}]


@pytest.mark.parametrize("title", [TITLE, "/usr/bin/php8.2 bin/console messenger:consume-messages amqp"])
def test_it_is_known_however_it_is_started(title: str) -> None:
    kind = Messenger(DEFAULTS, tools())
    reading = read_one(kind, Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    "title",
    [
        "php bin/console messenger:stop-workers",
        "sh -c php messenger:consume",
        "frankenphp php-cli bin/console messenger:consume async",
    ],
)
def test_another_process_is_not_recognised(title: str) -> None:
    kind = Messenger(DEFAULTS, tools())
    assert read_one(kind, Target(process()), FakeProcesses({100: title}).table).recognised is False


def test_its_memory_is_its_own() -> None:
    kind = Messenger(DEFAULTS, tools())
    assert not kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "rss")


def test_workers_that_share_a_consumer_name_are_held() -> None:
    """A worker that starts takes over what is pending under its name, although another worker runs it."""
    one, two, other = read_two(FakeStreams(("consumer", 1, 0)))
    for reading in (one, two):
        assert reading.recognised is True and reading.in_service is True
        assert (
            "2 workers have only 1 consumer name in the group symfony of the stream messages" in reading.hold
        )
        assert "MESSENGER_CONSUMER_NAME" in reading.hold
        assert reading.remark == reading.hold, "it is a hint even while no worker is over its limit"
    assert other.recognised is False and not other.hold


def test_the_refusal_names_the_stream_and_counts_the_names() -> None:
    (reading, *_) = read_two(FakeStreams(key="mails"), stream="mails")
    assert "2 workers have only 0 consumer names in the group symfony of the stream mails" in reading.hold


def test_a_stream_with_its_redis_is_no_problem() -> None:
    assert not Messenger.problems({**DEFAULTS, "stream": "mails", "redis": "redis://localhost"})


def test_a_memory_limit_that_is_no_number_of_bytes_is_no_limit() -> None:
    assert not advice(replace(GOOD, command=f"{GOOD.command} --memory-limit=80%"), max_rss_bytes=1024**3)


def test_workers_with_names_of_their_own_may_be_drained() -> None:
    one, two, _ = read_two(FakeStreams(("one", 0, 12), ("two", 1, 900_000)))
    assert not one.hold + two.hold + one.remark + two.remark


@pytest.mark.parametrize(
    ("former", "is_counted"),
    [(("former", 0, HOUR), False), (("former", 1, HOUR), True), (("former", 0, HOUR - 1), True)],
)
def test_the_name_of_a_worker_that_ended_long_ago_does_not_count(
    former: tuple[str, int, int], is_counted: bool
) -> None:
    """A name is never removed; one with pending messages may be of a worker that runs a long one."""
    reading, *_ = read_two(FakeStreams(("consumer", 0, 10), former))
    assert bool(reading.hold) is not is_counted


def test_without_redis_nothing_is_asked() -> None:
    assert not read_two(None)[0].hold


@pytest.mark.parametrize(
    "store",
    [
        FakeRedis(),
        FakeStreams(("consumer", 0, 0), key="other"),
        FakeStreams(("consumer", 0, 0), group="shop"),
    ],
)
def test_a_redis_that_is_not_the_transports_refuses_nothing(store: FakeRedis) -> None:
    """It may be there for coordination alone, while the messages run through AMQP or Doctrine."""
    if not isinstance(store, FakeStreams):
        store = FakeStreams(key="none of ours")
    assert not read_two(store)[0].hold


def test_a_key_of_another_type_is_not_the_transports() -> None:
    store = FakeStreams(("consumer", 0, 0))
    store.kind_of_key = "list"
    assert not read_two(store)[0].hold


def test_a_stream_that_the_operator_names_must_be_there() -> None:
    """Unknown means hold."""
    reading, *_ = read_two(FakeStreams(("one", 0, 0), ("two", 0, 0)), stream="mail")
    assert "no stream mail with the consumer group symfony" in reading.hold
    named = FakeStreams(("one", 0, 0), ("two", 0, 0), key="mail", group="shop")
    assert not read_two(named, stream="mail", consumer_group="shop")[0].hold


def test_a_lost_redis_makes_every_worker_unknown() -> None:
    store = FakeStreams(("one", 0, 0), ("two", 0, 0))
    store.error = redis.ConnectionError("Connection refused")
    assert [reading.recognised for reading in read_two(store)] == [None, None, None]


def test_a_stream_without_redis_is_an_error_of_the_configuration() -> None:
    (problem,) = Messenger.problems({**DEFAULTS, "stream": "messages", "redis": None})
    assert "stream needs redis" in problem


@pytest.mark.parametrize(
    "changes", [{}, {"killasgroup": False}, {"command": f"{GOOD.command} --memory-limit=512M"}]
)
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes), 256 * 1024**2) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"stopsignal": signal.SIGINT},
            "stopsignal=INT must be TERM: Messenger finishes its message at INT only",
        ),
        ({"stopsignal": signal.SIGQUIT}, "stopsignal=QUIT must be TERM"),
        ({"stopsignal": signal.SIGUSR1}, "stopsignal=USR1 must be TERM"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=10m00s"),
        ({"command": "sh -c 'php bin/console messenger:consume async; true'"}, "a shell without exec"),
        ({"command": "frankenphp php-cli bin/console messenger:consume a"}, "frankenphp php-cli: start"),
    ],
)
def test_settings_that_would_cut_messages_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopasgroup": True}, "processes that running jobs have started"),
        (
            {"command": f"{GOOD.command} --memory-limit=256M"},
            "--memory-limit=256M is not above max_rss=256MB",
        ),
        ({"command": f"{GOOD.command} -m 128M"}, "--memory-limit=128M is not above max_rss=256MB"),
    ],
)
def test_settings_that_may_harm_give_a_hint(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes), 256 * 1024**2)
    assert expected in text and not refuses


def test_a_memory_limit_that_cannot_be_read_gives_no_hint() -> None:
    assert advice(replace(GOOD, command=f"{GOOD.command} --memory-limit=0x80"), 256 * 1024**2) == []
