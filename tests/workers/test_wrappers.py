"""What runs decides: wrappers are looked through, and what cannot be seen is reported."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.findings import MAY_EXEC_SECONDS, Pool
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.advice import advise_on_wrapper
from supervisor_memkill.workers.arq import Arq
from supervisor_memkill.workers.command_line import (
    blocking_wrapper,
    has_worker_below,
    program_in,
    starts_elsewhere,
)
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.dramatiq import Dramatiq
from supervisor_memkill.workers.plain import Plain
from supervisor_memkill.workers.resque.kind import Resque
from supervisor_memkill.world.memory import ProcessTable
from tests.harness import wait_for
from tests.listener_world import pool_config

PID = 100
ARQ = {"job_completion_wait": 60.0, "health_check_key": None}


def fakes(title: str, *below: str, running_seconds: int = 1000) -> FakeProcesses:
    """The supervised process, and a chain of processes below it."""
    titles = {PID + depth: words for depth, words in enumerate((title, *below))}
    return FakeProcesses(titles, {pid: pid - 1 for pid in titles if pid > PID})


@pytest.mark.parametrize(
    ("title", "program"),
    [
        ("/usr/bin/python3.11 -u /srv/app/.venv/bin/pdm run dramatiq app", "pdm"),
        ("python -m honcho start worker", "honcho"),
        ("node /usr/lib/node_modules/npm/bin/npm run worker", "npm"),
        ("npm run worker", "npm"),
        ("python3 -W ignore -X dev -m dramatiq app", "dramatiq"),
        ("python -W ignore::DeprecationWarning /app/bin/arq app.Settings", "arq"),
        ("ruby -I lib -r ./config/boot bin/delayed_job run", "delayed_job"),
        ("ruby -W0 -S rake jobs:work", "rake"),
        ("python -W", "python"),
        ("foreman: master", "foreman"),
        ("-bash -lc sidekiq", "bash"),
        ("python", "python"),
        ("", ""),
    ],
)
def test_program_is_what_an_interpreter_runs(title: str, program: str) -> None:
    assert program_in(title) == program


@pytest.mark.parametrize("name", ["npm run", "hatch run", "honcho start", "watchmedo auto-restart", "sudo"])
def test_wrapper_that_does_not_pass_the_stop_signal_is_known(name: str) -> None:
    assert blocking_wrapper(f"{name} dramatiq app") == name.split(maxsplit=1)[0]


@pytest.mark.parametrize("name", ["tini --", "uv run", "pdm run"])
def test_wrapper_that_passes_the_stop_signal_is_looked_through(name: str) -> None:
    assert not blocking_wrapper(f"{name} dramatiq app")
    assert has_worker_below(f"{name} dramatiq app")


@pytest.mark.parametrize(
    ("stopsignal", "texts"), [(15, []), (2, ["pdm ignores all stop signals but TERM: set stopsignal=TERM"])]
)
def test_wrapper_that_ignores_int_wants_term(stopsignal: int, texts: list[str]) -> None:
    program = program_info("pdm run huey_consumer app", stopsignal=stopsignal)
    assert [one.text for one in advise_on_wrapper(program, "Huey")] == texts


@pytest.mark.parametrize(
    ("command", "running", "is_advised"),
    [
        ("bash -lc 'cd /app && sidekiq'", "sidekiq 7.3 app [0 of 5 busy]", False),
        ("bash -lc 'cd /app && sidekiq'", "bash -lc cd /app && sidekiq", True),
        ("sh -c 'sidekiq; true'", "", False),
        ("sh -c 'sidekiq; true'", None, True),
        ("/app/start-worker", "sh /app/start-worker", True),
        ("/app/start-worker", "sidekiq 7.3 app [0 of 5 busy]", False),
        ("dotenv run sidekiq", "sidekiq 7.3 app [0 of 5 busy]", False),
        ("dotenv run sidekiq", "python3 /usr/bin/dotenv run sidekiq", True),
    ],
)
def test_what_runs_decides_and_not_how_the_command_looks(
    command: str, running: str | None, is_advised: bool
) -> None:
    program = dataclasses.replace(program_info(command), running=running)
    assert bool(list(advise_on_wrapper(program, "Sidekiq"))) is is_advised


@pytest.mark.parametrize(
    ("titles", "counts"),
    [
        (("python /app/bin/arq app.WorkerSettings", "convert a.png"), False),
        (("python -m arq app.WorkerSettings",), False),
        (("pdm run arq app.WorkerSettings", "python /app/bin/arq app.WorkerSettings"), True),
        (("doppler run -- arq app.WorkerSettings", "python /app/bin/arq app.WorkerSettings"), True),
        (("npm run worker", "sh -c arq app.WorkerSettings", "arq app.WorkerSettings"), True),
        (("python worker.py",), False),
    ],
)
def test_memory_of_an_arq_behind_any_wrapper_counts(titles: tuple[str, ...], counts: bool) -> None:
    table = fakes(*titles).table
    assert Arq({"command_has": None, **ARQ}, tools()).memory_in_children(process(), table) is counts


@pytest.mark.parametrize(
    ("titles", "counts"),
    [
        (("resque-2.0: Forked 5 at 1", "resque-2.0: Processing mail"), False),
        (("doppler run -- rake resque:work", "resque-2.0: Waiting for *"), True),
        (("sh -c rake resque:work; true", "resque-2.0: Waiting for *"), True),
    ],
)
def test_memory_of_a_resque_behind_any_wrapper_counts(titles: tuple[str, ...], counts: bool) -> None:
    assert Resque({}, tools()).memory_in_children(process(), fakes(*titles).table) is counts


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("docker run --rm app worker", "docker run"),
        ("/usr/bin/docker --context prod run app", "docker run"),
        ("docker compose -f a.yml up worker", "docker up"),
        ("docker --context prod compose up worker", "docker up"),
        ("docker container run --rm app worker", "docker run"),
        ("docker container logs app", ""),
        ("lxc exec jobs worker", "lxc exec"),
        ("podman exec -it jobs worker", "podman exec"),
        ("kubectl -n jobs exec pod -- worker", "kubectl exec"),
        ("systemd-run --wait worker", "systemd-run"),
        ("ssh jobs1 worker", "ssh"),
        ("podman-compose -f a.yml exec app worker", "podman-compose exec"),
        ("ddev exec php artisan queue:work", "ddev"),
        ("lando artisan queue:work", "lando"),
        ("vagrant ssh -c worker", "vagrant ssh"),
        ("vagrant status", ""),
        ("docker logs -f run", ""),
        ("docker", ""),
        ("python /app/docker run", ""),
        ("dramatiq app", ""),
        ("", ""),
    ],
)
def test_command_that_starts_a_worker_out_of_sight_is_known(title: str, found: str) -> None:
    assert starts_elsewhere(title) == found


@pytest.mark.parametrize(
    "titles",
    [
        ("docker run --rm app worker",),
        ("bash -c sudo docker run --rm app worker", "sudo docker run --rm app worker", "docker run --rm app"),
    ],
)
def test_worker_in_another_container_has_unknown_memory_and_one_hint(titles: tuple[str, ...]) -> None:
    """The memory of docker's own client says nothing, so that it is never "under its limit"."""
    table, pool = fakes(*titles).table, Pool(pool_config(), Plain({}, tools()))
    with pytest.raises(Unknown, match="docker run starts the worker where its memory cannot be seen"):
        pool.memory(process(), table)
    (advice,) = pool.advice(process(), program_info(titles[0]), table)
    assert advice.text.startswith("docker run starts the worker in another container or unit")
    assert not advice.refuses


def test_shell_that_may_still_exec_gets_no_hint() -> None:
    titles = "bash -lc cd /app && sidekiq"
    pool = Pool(pool_config(), Dramatiq({"command_has": None}, tools()))
    young = dataclasses.replace(process(), start=process().now - MAY_EXEC_SECONDS + 1)
    old = dataclasses.replace(process(), start=process().now - MAY_EXEC_SECONDS)
    texts = {
        one.start: [advice.text for advice in pool.advice(one, program_info(titles), fakes(titles).table)]
        for one in (young, old)
    }
    assert not any("shell" in text for text in texts[young.start])
    assert any("shell" in text for text in texts[old.start])


@pytest.mark.parametrize(
    ("titles", "is_remarked"),
    [
        (("doppler run -- dramatiq app", "python /app/bin/dramatiq app"), True),
        (("pdm run dramatiq app", "python /app/bin/dramatiq app"), False),
        (("python /app/bin/dramatiq app", "python /app/bin/dramatiq app"), False),
        (("python /app/bin/dramatiq app", "python -c from multiprocessing.spawn import main"), False),
    ],
)
def test_wrapper_of_unknown_manners_is_remarked(titles: tuple[str, ...], is_remarked: bool) -> None:
    reading = read_one(Dramatiq({"command_has": None}, tools()), Target(process()), fakes(*titles).table)
    assert reading.recognised is True
    assert bool(reading.remark) is is_remarked


SCRIPT = "import time; ballast = b'x' * 40_000_000; print('up', flush=True); time.sleep(600)"
WORKER = [sys.executable, "-c", SCRIPT]
WRAPPERS: Mapping[str, tuple[list[str], bool]] = {
    "bash that execs": (["bash", "-c", f"cd / && {shlex.join(WORKER)}"], False),
    "a shell that waits": (["sh", "-c", f"{shlex.join(WORKER)}; true"], True),
    "nice": (["nice", "-n", "1", *WORKER], False),
    "timeout": (["timeout", "600", *WORKER], True),
    "npm": (["npm", "exec", "--offline", "-c", shlex.join(WORKER)], True),
}


@pytest.mark.real
@pytest.mark.parametrize(("command", "is_wrapped"), WRAPPERS.values(), ids=WRAPPERS.keys())
def test_real_wrapper_is_looked_through_if_it_stays(command: list[str], is_wrapped: bool) -> None:
    """What starts the worker and replaces itself by it is no wrapper any more."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None
    output = started.stdout
    try:
        wait_for(lambda: "up" in output.readline())
        table = ProcessTable()
        assert has_worker_below(table.title(started.pid)) is is_wrapped
        pool = Pool(pool_config(), Plain({}, tools()))
        assert pool.memory(dataclasses.replace(process(), pid=started.pid), table).most_bytes > 40_000_000
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        output.close()
