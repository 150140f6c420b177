"""The sections that a dry run proposes: which workers, which limit, and that they can be pasted."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from supervisor_memkill.commands.proposals import (
    MEGABYTE,
    Proposal,
    as_text,
    limit_for,
    listener_section,
    look,
    propose,
)
from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import Config
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.testing.fakes import STARTED, FakeProcesses
from supervisor_memkill.workers.recognise import known_kinds
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.event_protocol import SUBSCRIPTION
from tests.harness import PATIENCE_SECONDS, PROGRAMS, short_directory, wait_for
from tests.real_supervisord import RealSupervisord, program

LARAVEL = "php /srv/app/artisan queue:work"
SIDEKIQ = "sidekiq 7.3.2 app [{0} of 5 busy]"
COLUMNS = 80
ROOT = Path(__file__).parents[2]


def worker(pid: int, group: str, name: str = "", state: ProcessState = ProcessState.RUNNING) -> ProcessInfo:
    return ProcessInfo(group, name or group, state, pid, STARTED, stop=0, now=STARTED + 1000)


class Machine:
    """What supervisord runs."""

    def __init__(self) -> None:
        self.all: list[ProcessInfo] = []
        self.processes = FakeProcesses({})
        self.megabytes: dict[int, int | None] = {}

    def run(
        self,
        title: str,
        group: str,
        name: str = "",
        megabytes: int | None = 100,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        pid = 100 + len(self.all)
        self.all.append(worker(pid, group, name))
        self.processes.titles[pid] = title
        self.processes.environments[pid] = environment or {}
        self.megabytes[pid] = megabytes

    def measure(self, kind: str, process: ProcessInfo) -> int | None:
        megabytes = self.megabytes[process.pid]
        return None if megabytes is None else megabytes * MEGABYTE

    def proposals(self) -> list[Proposal]:
        seen = look(self.all, self.processes.table, known_kinds(), self.measure)
        return propose(seen, self.all, known_kinds())


@pytest.fixture
def machine() -> Machine:
    return Machine()


def pasted(proposals: list[Proposal], path: Path) -> Config:
    path.write_text("\n".join(one.section for one in proposals))
    return load(read_file(path), {}, "here", load_kind)


def test_workers_of_one_program_are_one_pool(machine: Machine, tmp_path: Path) -> None:
    for number in range(3):
        machine.run(LARAVEL, "mail", f"mail_{number}", 90 + number)
    machine.run("nginx: master process", "web")
    (proposal,) = machine.proposals()
    assert (proposal.kind, proposal.programs, len(proposal.workers)) == ("laravel", ("mail",), 3)
    assert "uses 92MB now: twice that, rounded up\nmax_rss = 200MB" in proposal.section
    (pool,) = pasted([proposal], tmp_path / "memkill.conf").pools
    assert (pool.worker, pool.programs) == ("laravel", ("mail",))
    assert pool.max_rss and pool.max_rss.exact_bytes == proposal.limit_bytes == 200 * MEGABYTE


def test_programs_that_are_started_alike_are_one_pool_and_others_are_not(machine: Machine) -> None:
    """Workers of other queues do not stand in for each other."""
    machine.run("celery -A app worker -n one@%h", "one")
    machine.run("celery -A app worker -n two@%h", "two")
    machine.run("celery -A app worker -n three@%h -Q slow", "three")
    machine.run(SIDEKIQ.format(1), "a")
    machine.run(SIDEKIQ.format(5), "b")
    found = {proposal.name: proposal.programs for proposal in machine.proposals()}
    assert found == {"one": ("one", "two"), "three": ("three",), "a": ("a", "b")}


def test_of_a_group_with_other_programs_only_the_workers_are_named(machine: Machine) -> None:
    machine.run(LARAVEL, "app", "queue")
    machine.run("nginx: master process", "app", "web")
    (proposal,) = machine.proposals()
    assert proposal.programs == ("app:queue",) and "[memkill:app_queue]" in proposal.section


def test_worker_without_a_peer_gets_both_ways_out(machine: Machine) -> None:
    machine.run("php artisan horizon", "horizon")
    (proposal,) = machine.proposals()
    assert "; min_available = 0" in proposal.section


@pytest.mark.parametrize(
    ("title", "environment", "line"),
    [
        (SIDEKIQ, {"REDIS_URL": "redis://r:6380/2"}, "redis = redis://r:6380/2"),
        (SIDEKIQ, {}, "redis = redis://localhost:6379/0"),
        (SIDEKIQ, {"REDIS_URL": "redis://r\x1b[2J/2"}, "redis = redis://localhost:6379/0"),
        ("rq worker -u redis://q/3 high", {"REDIS_URL": "redis://r/1"}, "redis = redis://q/3"),
        ("celery -A app worker", {"CELERY_BROKER_URL": "amqp://mq//"}, "broker = amqp://mq//"),
        ("celery -A app worker", {"CELERY_BROKER_URL": "sqs://"}, "broker = redis://localhost:6379/0"),
        ("celery -b redis://q/3 -A app worker", {}, "broker = redis://q/3"),
    ],
)
def test_address_of_the_workers_own_redis_or_broker_is_proposed(
    machine: Machine, tmp_path: Path, title: str, environment: Mapping[str, str], line: str
) -> None:
    machine.run(title, "jobs", environment=environment)
    assert line in machine.proposals()[0].section.splitlines()
    assert pasted(machine.proposals(), tmp_path / "memkill.conf").pools


def test_password_is_never_shown(machine: Machine, tmp_path: Path) -> None:
    machine.run(SIDEKIQ, "jobs", environment={"REDIS_URL": "redis://:s3cret@r/0"})
    machine.run("celery -A app worker", "mail", environment={"BROKER_URL": "amqp://u:s3cret@mq//"})
    for proposal in machine.proposals():
        assert "s3cret" not in proposal.section
        assert "; write the password in place of ***" in proposal.section
    assert len(pasted(machine.proposals(), tmp_path / "memkill.conf").pools) == 2


def test_what_is_missing_stands_in_the_section(machine: Machine) -> None:
    machine.run("arq app.WorkerSettings", "jobs", megabytes=None)
    section = machine.proposals()[0].section
    assert "; not complete yet:" in section and "job_completion_wait" in section
    assert "; their memory could not be read: choose the limit yourself" in section
    assert max(map(len, section.splitlines())) <= COLUMNS


@pytest.mark.parametrize(
    ("largest", "limit"), [(0, 50), (24, 50), (26, 100), (92, 200), (499, 1000), (501, 1024), (600, 1536)]
)
def test_limit_is_twice_as_much_rounded_up(largest: int, limit: int) -> None:
    assert limit_for(largest * MEGABYTE) == limit * MEGABYTE


def test_what_does_not_run_or_runs_elsewhere_or_is_of_no_kind_is_not_proposed(machine: Machine) -> None:
    machine.run("docker run app celery -A app worker", "docked")
    machine.run("/usr/sbin/cron -f", "cron")
    machine.all.append(worker(0, "stopped", state=ProcessState.STOPPED))
    assert machine.proposals() == []


def test_listener_subscribes_to_what_the_examples_subscribe_to() -> None:
    texts = [one.read_text() for one in (ROOT / "conf.d").glob("*.conf")]
    lines = {line for text in texts for line in text.splitlines() if line.startswith("events =")}
    assert lines == {SUBSCRIPTION}
    assert SUBSCRIPTION in listener_section("supervisor-memkill").splitlines()


def test_log_of_the_listener_stands_where_debian_has_it_if_that_is_there(tmp_path: Path) -> None:
    assert f"stderr_logfile = {tmp_path}/memkill.log" in listener_section("supervisor-memkill", tmp_path)
    assert "stderr_logfile" not in listener_section("supervisor-memkill", tmp_path / "none")


def test_text_fits_the_terminal(machine: Machine) -> None:
    for number in range(9):
        machine.run(LARAVEL, "a_program_with_a_long_name", f"a_program_with_a_long_name_{number}")
    text = as_text(machine.proposals(), listener_section("supervisor-memkill"), COLUMNS)
    assert "and 6 more" in text and max(map(len, text.splitlines())) <= COLUMNS


# --- at a real supervisord ----------------------------------------------------------------------

Paste = Callable[[str], None]


@pytest.fixture
def supervisord() -> Iterator[RealSupervisord]:
    """It runs workers of Laravel and Celery by their command lines, and other programs."""
    with short_directory() as directory:
        many: dict[str, object] = {
            "numprocs": 2,
            "process_name": "%(program_name)s_%(process_num)d",
            "stopwaitsecs": 60,
        }
        sections = [
            program("mail", named("php", "artisan", "queue:work"), "program", **many),
            program("celery", named("python", "bin/celery", "-A", "app", "worker"), stopwaitsecs=60),
            program("beat", named("python", "bin/celery", "-A", "app", "beat")),
            program("web", named("nginx:", "nginx.conf")),
            program("fpm", named("php-fpm:", "fpm.conf")),
            program("cron", named("cron", "-f")),
        ]
        environment = {"NAMED_WORKER_DIRECTORY": str(directory)}
        found = RealSupervisord(directory, "\n".join(sections), environment=environment)
        try:
            yield found.start()
        finally:
            found.stop()


def named(*words: str) -> str:
    return shlex.join([sys.executable, str(PROGRAMS / "named_worker.py"), *words])


def dry_run(supervisord: RealSupervisord, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "supervisor_memkill", "--dry-run", "--serverurl", supervisord.url, *arguments],
        cwd=supervisord.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def on_a_terminal(supervisord: RealSupervisord) -> str:
    """The dry run on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    command = shlex.join(
        [sys.executable, "-m", "supervisor_memkill", "--dry-run", "--serverurl", supervisord.url]
    )
    process = subprocess.Popen(
        ["sh", "-c", f"stty columns {COLUMNS}; exec {command}"],
        cwd=supervisord.directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(PATIENCE_SECONDS) == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.real
def test_first_screen_proposes_sections_that_work_when_they_are_pasted(supervisord: RealSupervisord) -> None:
    wait_for(lambda: "artisan queue:work" in supervisord_titles(supervisord, "mail:mail_1"))
    wait_for(lambda: "bin/celery" in supervisord_titles(supervisord, "celery:celery"))
    for worker in ("mail:mail_0", "mail:mail_1", "celery:celery"):
        supervisord.wait_for_state(worker, ProcessState.RUNNING)
    screen = on_a_terminal(supervisord)
    assert "These look like Laravel workers: mail:mail_0, mail:mail_1" in screen
    assert "This looks like one Celery worker: celery:celery" in screen
    assert max(map(len, screen.splitlines())) <= COLUMNS or sys.executable in screen
    for other in ("beat", "web", "fpm", "cron"):
        assert f"[memkill:{other}]" not in screen
    begin = screen.index("[eventlistener:memkill]")

    config = supervisord.directory / "memkill.conf"
    config.write_text(screen[begin:].replace("broker = redis://localhost:6379/0", "drain = stop"))
    verdicts = dry_run(supervisord, "--config", str(config))
    assert verdicts.count("under its limit") == 3 and "nginx" not in verdicts
    assert "not recognised" not in verdicts

    listener = f"{sys.executable} -m supervisor_memkill"
    text = config.read_text().replace(listener, f"{listener} --config {config}")
    section = text.partition("[memkill:")[0].rstrip()
    with supervisord.config.open("a") as file:
        file.write(f"\n{section}\nstderr_logfile = %(here)s/memkill.log\n")
    supervisord.ctl("update")
    wait_for(lambda: "listener.started" in supervisord.log("memkill.log"), message=supervisord.output)


def supervisord_titles(supervisord: RealSupervisord, name: str) -> str:
    pid = supervisord.process(name).pid
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes().replace(b"\0", b" ").decode() if pid and path.exists() else ""
