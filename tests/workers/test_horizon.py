"""Laravel Horizon: recognition, its record in Redis, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.workers.horizon import Horizon, slug

TITLE = "php /srv/app/artisan horizon"
GOOD = replace(
    program_info("php /srv/app/artisan horizon", stopwaitsecs=600, killasgroup=False), stopasgroup=False
)
DEFAULTS = {"command_has": None}
HOSTNAME = "Web1.example.com"
NAME = "web1examplecom-aB3d"
PREFIX = "laravel_horizon:"
PHP_ALONE = 0x4004A07
SUPERVISOR = "php artisan horizon:supervisor web1-aB3d:supervisor-1 redis"
BELOW = {
    101: SUPERVISOR,
    102: "/usr/bin/php8.4 artisan horizon:work redis --name=default --supervisor=web1-aB3d:supervisor-1",
}


class FakeMasters(FakeRedis):
    """Horizon's masters by their name."""

    def __init__(self, masters: Mapping[str, Mapping[str, Any]], prefix: str = PREFIX) -> None:
        super().__init__({f"{prefix}master:{name}": fields for name, fields in masters.items()})
        self.data[f"{prefix}masters"] = list(masters)

    def zrange(self, key: str, first: int, last: int) -> Any:
        return self.lrange(key, first, last)


def read(store: FakeRedis | None, namespace: str = "", title: str = TITLE) -> Reading:
    known = tools((lambda: store) if store else None, namespace=namespace)
    kind = Horizon(DEFAULTS, known, hostname=HOSTNAME)
    return read_one(kind, Target(process()), FakeProcesses({100: title, **BELOW}, {101: 100, 102: 101}).table)


def advice(program: ProgramInfo) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in Horizon(DEFAULTS, tools()).advice(program, 600.0)]


class TestContract(ContractSuite):
    kind = Horizon
    title = TITLE
    reads_redis = True
    values: ClassVar[Mapping[str, Any]] = {}

    def make(self, store: FakeRedis) -> Horizon:
        masters = FakeMasters({NAME: {"pid": "100", "status": "running"}})
        masters.error = store.error
        masters.data |= store.data
        return Horizon({**self.defaults(), **self.values}, tools(lambda: masters), hostname=HOSTNAME)

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data[f"{PREFIX}masters"] = [garbage, NAME]
        store.data[f"{PREFIX}master:{NAME}"] = {"pid": garbage, "status": garbage}


@pytest.mark.parametrize(
    "title", [TITLE, "php artisan horizon --environment=production", "php artisan -v --ansi horizon"]
)
def test_the_master_is_known(title: str) -> None:
    reading = read(None, title=title)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("php artisan horizon:work redis --name=default", "only Horizon's master stops all"),
        ("php artisan horizon:supervisor web1-aB3d:supervisor-1 redis", "run `artisan horizon` instead"),
        ("php artisan -v horizon:work redis", "only Horizon's master stops all"),
        ("frankenphp php-cli artisan horizon", "frankenphp php-cli: start the worker with php instead"),
        ("php artisan queue:work", "does not contain artisan horizon"),
        ("sh -c php artisan horizon; true", "exec"),
    ],
)
def test_another_process_is_not(title: str, expected: str) -> None:
    reading = read(None, title=title)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert expected in reading.why


def test_a_horizon_that_still_boots_is_not_recognised() -> None:
    processes = FakeProcesses({100: TITLE})
    processes.caught[100] = PHP_ALONE
    reading = read_one(Horizon(DEFAULTS, tools()), Target(process()), processes.table)
    assert reading.recognised is False and "still booting" in reading.why


@pytest.mark.parametrize(
    ("below", "why"),
    [
        ({}, "no horizon:supervisor runs below"),
        ({101: ""}, "no horizon:supervisor runs below"),
        ({101: "sh -c sleep 5"}, "no horizon:supervisor runs below"),
        ({101: SUPERVISOR}, "no horizon:work runs below"),
        ({101: SUPERVISOR, 102: ""}, "no horizon:work runs below"),
    ],
)
def test_a_horizon_without_supervisors_or_workers_is_not_in_service(
    below: Mapping[int, str], why: str
) -> None:
    """It runs, and its record says so, but it takes no jobs: no peer may be drained because of it."""
    table = FakeProcesses({100: TITLE, **below}, dict.fromkeys(below, 100)).table
    store = FakeMasters({NAME: {"pid": "100", "status": "running"}})
    kind = Horizon(DEFAULTS, tools(lambda: store), hostname=HOSTNAME)
    reading = read_one(kind, Target(process()), table)
    assert (reading.recognised, reading.in_service, reading.hold) == (True, False, "")
    assert why in reading.why


def test_records_of_two_horizons_with_the_same_host_name_and_pid_conclude_nothing() -> None:
    """Containers with one host name: which record is that of this process is not known."""
    masters = {NAME: {"pid": "100", "status": "paused"}, f"{NAME}x": {"pid": "100", "status": "running"}}
    reading = read(FakeMasters(masters))
    assert reading.recognised is None and "give each machine or container its own host name" in reading.why


def test_its_memory_is_that_of_its_processes_with_shared_pages_once() -> None:
    kind = Horizon(DEFAULTS, tools())
    assert kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "pss")


def test_a_running_horizon_is_in_service() -> None:
    reading = read(FakeMasters({NAME: {"pid": "100", "status": "running"}}))
    assert (reading.recognised, reading.in_service, reading.hold) == (True, True, "")


def test_a_paused_horizon_is_not_in_service_and_stays_paused() -> None:
    """Who paused it wants no jobs to run; a new Horizon would run them."""
    reading = read(FakeMasters({NAME: {"pid": "100", "status": "paused"}}))
    assert (reading.recognised, reading.in_service) == (True, False)
    assert "horizon:continue" in reading.hold and reading.why == reading.hold


def test_the_record_of_another_host_with_the_same_pid_does_not_count() -> None:
    masters = {NAME: {"pid": "100", "status": "running"}, "web2-aB3d": {"pid": "100", "status": "paused"}}
    assert read(FakeMasters(masters)).in_service is True


def test_without_redis_nothing_is_asked() -> None:
    assert read(None, namespace="shop_horizon:").recognised is True


@pytest.mark.parametrize("fields", [{"pid": "7", "status": "running"}, {}])
def test_without_a_prefix_a_missing_record_concludes_nothing(fields: Mapping[str, Any]) -> None:
    """The prefix may be another one, or `redis` be there for coordination alone."""
    reading = read(FakeMasters({NAME: fields}))
    assert (reading.recognised, reading.in_service) == (True, True)


def test_with_a_prefix_a_missing_record_is_unknown() -> None:
    """Unknown means hold: a Horizon that already stops has deleted its record."""
    prefix = "shop_horizon:"
    reading = read(FakeMasters({NAME: {"pid": "7", "status": "running"}}, prefix), namespace=prefix)
    assert reading.recognised is None and "no record of this Horizon below shop_horizon:" in reading.why
    found = read(FakeMasters({NAME: {"pid": "100", "status": "paused"}}, prefix), namespace=prefix)
    assert found.in_service is False


def test_an_unknown_status_is_unknown() -> None:
    reading = read(FakeMasters({NAME: {"pid": "100", "status": "resting"}}))
    assert reading.recognised is None and "'resting'" in reading.why


def test_a_lost_redis_makes_it_unknown() -> None:
    store = FakeMasters({NAME: {"pid": "100", "status": "running"}})
    store.error = redis.ConnectionError("Connection refused")
    assert read(store).recognised is None


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [("web1.example.com", "web1examplecom"), ("My_Host -- 2", "my-host-2"), ("a@b", "a-at-b")],
)
def test_a_hostname_is_written_as_horizon_writes_it(hostname: str, expected: str) -> None:
    assert slug(hostname) == expected


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": signal.SIGINT}, "stopsignal=INT must be TERM: at QUIT Horizon's master ends alone"),
        ({"stopsignal": signal.SIGQUIT}, "stopsignal=QUIT must be TERM"),
        ({"stopasgroup": True}, "remove stopasgroup=true: Horizon's master would end at once"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=10m00s"),
        ({"command": "php artisan horizon:work redis"}, "run `artisan horizon` instead"),
        ({"command": "frankenphp php-cli artisan horizon"}, "frankenphp php-cli: start the worker with php"),
        ({"command": "sh -c 'php artisan horizon; true'"}, "a shell without exec"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


def test_an_unknown_stopasgroup_is_refused() -> None:
    """Unknown means hold; supervisord has no stopasgroup=true without killasgroup=true."""
    (refused, hint) = advice(replace(GOOD, stopasgroup=None, killasgroup=True))
    assert "stopasgroup is unknown" in refused[0] and refused[1]
    assert "remove killasgroup=true" in hint[0] and not hint[1]


def test_killasgroup_gives_a_hint_because_the_workers_would_finish_their_jobs() -> None:
    ((text, refuses),) = advice(replace(GOOD, killasgroup=True))
    assert "remove killasgroup=true: after a SIGKILL of Horizon's master alone" in text and not refuses
