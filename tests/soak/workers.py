"""The workers that a soak can run: those of tests/real, by the same commands and settings."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter, words_for_root
from tests.real import (
    php,
    stop_then_wait,
    test_arq,
    test_celery,
    test_celery_ways,
    test_delayed_job,
    test_djangoq,
    test_dramatiq,
    test_huey,
    test_messenger,
    test_rq,
    test_sidekiq_again,
    test_taskiq,
)
from tests.real.debian import version_of
from tests.real.frameworks import FrameworkFleet, running_fleet
from tests.real_redis import RealRedis
from tests.workers.sidekiq_app import sidekiq_command

Names = Sequence[str]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Workers:
    """Workers of one release of one framework."""

    title: str
    version: Callable[[], str]
    open: Callable[[RealRedis, Names, Options], AbstractContextManager[FrameworkFleet]]
    """A running fleet of workers with these names, with these options of FrameworkFleet."""
    server: Callable[[], Sequence[str]] = tuple
    """The words that start its Redis, if it is not this machine's."""
    dropped_by_itself: Callable[[FrameworkFleet], set[str]] = lambda fleet: set()
    """Jobs that the framework's own stop is known to lose, whoever stops it."""


def _python(
    kind: str,
    command: Callable[[str], str],
    package: str,
    options: Options,
    *,
    variable: str = WORKERS_PYTHON,
) -> Workers:
    """A framework of Python whose workers all have the same command."""

    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        python = interpreter(variable)
        commands = dict.fromkeys(names, command(python))
        return stop_then_wait.fleet_of(server, python, kind, "", commands=commands, **_merged(options, more))

    return Workers(
        package, lambda: stop_then_wait.version(interpreter(variable), package.lower()), open_fleet
    )


def _rq(title: str, variable: str, words: str, options: Options) -> Workers:
    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        python = interpreter(variable)
        commands = dict.fromkeys(names, test_rq.rq(python, words))
        return test_rq.fleet_of(server, python, commands, **_merged(options, more))

    return Workers(
        title,
        lambda: test_rq.version(interpreter(variable)),
        open_fleet,
        dropped_by_itself=test_rq.dropped_by_rq,
    )


def _celery(title: str, variable: str, options: Options, words: str = "-c 2") -> Workers:
    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        python = interpreter(variable)
        commands = {name: test_celery.celery(python, name, words) for name in names}
        return test_celery.fleet_of(server, python, commands, **_merged(options, more))

    return Workers(title, lambda: test_celery.version(interpreter(variable)), open_fleet)


def _php(framework: php.Framework, title: str, suite: str, options: Options) -> Workers:
    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        commands = dict.fromkeys(names, framework.command(suite))
        return framework.fleet(server, suite, commands=commands, **_merged(options, more))

    return Workers(title, lambda: framework.version(suite), open_fleet)


def _delayed_job() -> Workers:
    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        return test_delayed_job.fleet_of(
            server, commands=dict.fromkeys(names, test_delayed_job.SCRIPT), **more
        )

    return Workers("Delayed Job", lambda: version_of("ruby-delayed-job", None), open_fleet)


def _sidekiq(suite: str) -> Workers:
    """With `suite` the Sidekiq of that suite of Debian, on its Valkey."""

    def open_fleet(server: RealRedis, names: Names, more: Options) -> Any:
        return running_fleet(
            server,
            kind="sidekiq",
            commands=dict.fromkeys(names, sidekiq_command(concurrency=2, timeout=2, suite=suite)),
            feed=shlex.join([sys.executable, str(PROGRAMS / "sidekiq_feed.py")]),
            **_merged({"environment": {"REDIS_URL": server.url}}, more),
        )

    if not suite:
        return Workers("Sidekiq", test_sidekiq_again.version, open_fleet)
    return Workers(
        "Sidekiq",
        functools.partial(version_of, "ruby-sidekiq", suite),
        open_fleet,
        server=lambda: [*words_for_root(suite), "valkey-server"],
    )


def _merged(options: Options, more: Options) -> dict[str, Any]:
    """Both; the settings of the pool and the environment are those of both."""
    shared = {name: {**more.get(name, {}), **options.get(name, {})} for name in ("pool", "environment")}
    return {**options, **more, **shared}


def _arq(python: str) -> str:
    return stop_then_wait.worker(python, "arq", "arq_app.WorkerSettings")


def _taskiq(python: str) -> str:
    return stop_then_wait.worker(python, "taskiq", "worker taskiq_app:broker -w 1")


_CELERY_BY_STOP: Options = {
    "pool": test_celery_ways.BY_STOP,
    "environment": test_celery_ways.WITHOUT_CONTROL,
}
_CONTRIB = f"{PROGRAMS}:{PROGRAMS.parents[1] / 'contrib' / 'rq'}"
_CELERY_BY_STOP_ONCE: Options = {
    **_CELERY_BY_STOP,
    "environment": {**_CELERY_BY_STOP["environment"], **test_celery_ways.RUNS_ONCE},
}
_MESSENGER: Options = {"worker": test_messenger.NAMED, "pool": {"stream": "messages"}}
WORKERS: Mapping[str, Workers] = {
    **{f"laravel-{suite}": _php(php.LARAVEL_WORKER, "Laravel queue:work", suite, {}) for suite in php.SUITES},
    **{
        f"messenger-{suite}": _php(php.MESSENGER_WORKER, "Symfony Messenger", suite, _MESSENGER)
        for suite in php.SUITES
    },
    "celery": _celery("Celery", WORKERS_PYTHON, {}),
    "celery-oldest": _celery("Celery", OLD_WORKERS_PYTHON, {}),
    "celery-stop": _celery("Celery, drain = stop", WORKERS_PYTHON, _CELERY_BY_STOP),
    "celery-stop-once": _celery(
        "Celery, drain = stop, contrib's pool", WORKERS_PYTHON, _CELERY_BY_STOP_ONCE, "-c 2 -P custom"
    ),
    "rq": _rq("RQ", WORKERS_PYTHON, "worker", {}),
    "rq-oldest": _rq("RQ", OLD_WORKERS_PYTHON, "worker", {}),
    "rq-finishing": _rq(
        "RQ, contrib's worker",
        WORKERS_PYTHON,
        "worker -w memkill_worker.FinishingWorker",
        {"environment": {"PYTHONPATH": _CONTRIB}},
    ),
    "sidekiq": _sidekiq(""),
    "sidekiq-trixie": _sidekiq("trixie"),
    "sidekiq-sid": _sidekiq("sid"),
    "dramatiq": _python("dramatiq", test_dramatiq.dramatiq, "dramatiq", {"worker": test_dramatiq.GOOD}),
    "huey": _python("huey", test_huey.huey, "huey", {"worker": test_huey.GOOD}),
    "taskiq": _python("taskiq", _taskiq, "taskiq", {"worker": test_taskiq.GOOD}),
    "arq": _python(
        "arq", _arq, "arq", {"worker": test_arq.GOOD, "pool": test_arq.POOL}, variable=OLD_WORKERS_PYTHON
    ),
    "djangoq": _python("djangoq", test_djangoq.qcluster, "django-q2", {"worker": test_djangoq.GOOD}),
    "delayed_job": _delayed_job(),
}
WORKERS = {name.removesuffix("-own"): workers for name, workers in WORKERS.items()}
"""By the name that --kind takes: the kind, and what is not its usual release."""
