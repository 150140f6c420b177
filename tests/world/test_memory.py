from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil
import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import MEASURES, Measure, MemorySize, ProcessId
from supervisor_memkill.world.memory import Gone, ProcessTable, Resident, Unmeasurable
from tests.harness import wait_for

MB = 1024**2


@dataclass
class FakeProcess:
    parent: int = 1
    created: float = 100.0
    size: int | Unknown = 10
    status: str = psutil.STATUS_SLEEPING
    command_line: Sequence[str] = ()
    caught: int | Unknown = 0
    leader: int | None = None
    """The leader of its process group; None: itself."""
    control_group: str = "0::/system.slice/supervisor.service"
    resident: Resident = field(default_factory=lambda: Resident(rss=10))


@dataclass
class FakeBackend:
    """Processes as a test wants them. Those in `vanishing` are in the parents' map and nowhere else."""

    processes: dict[int, FakeProcess]
    vanishing: Mapping[int, int] = field(default_factory=dict)
    parents_read: int = 0

    def parents(self) -> Mapping[int, int]:
        self.parents_read += 1
        return {**{pid: process.parent for pid, process in self.processes.items()}, **self.vanishing}

    def created(self, pid: int) -> float:
        return self._process(pid).created

    def generations(self) -> Mapping[int, int]:
        return {}

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        size = self._process(pid).size
        if isinstance(size, Unknown):
            raise size
        return size if measure == "rss" else size // 2

    def resident(self, pid: int) -> Resident:
        return self._process(pid).resident

    def status(self, pid: int) -> str:
        return self._process(pid).status

    def command_line(self, pid: int) -> Sequence[str]:
        return self._process(pid).command_line

    def caught_signals(self, pid: int) -> int:
        caught = self._process(pid).caught
        if isinstance(caught, Unknown):
            raise caught
        return caught

    def group(self, pid: int) -> int:
        leader = self._process(pid).leader
        return pid if leader is None else leader

    def control_group(self, pid: int) -> str:
        return self._process(pid).control_group

    def directory(self, pid: int) -> str:
        self._process(pid)
        return f"/srv/{pid}"

    def environment(self, pid: int) -> Mapping[str, str]:
        self._process(pid)
        return {"PID": str(pid)}

    def _process(self, pid: int) -> FakeProcess:
        if pid not in self.processes:
            raise Gone(f"there is no process {pid}")
        return self.processes[pid]


FAMILY = {
    10: FakeProcess(size=100),
    11: FakeProcess(parent=10, size=20),
    12: FakeProcess(parent=10, size=3, created=101.0),
    13: FakeProcess(parent=11, size=4000, created=102.0),
    99: FakeProcess(size=50_000),
}


def pids(tree: Sequence[ProcessId]) -> list[int]:
    return [process.pid for process in tree]


def test_a_tree_is_the_process_and_all_its_descendants() -> None:
    tree = ProcessTable(FakeBackend(FAMILY)).tree(10)
    assert tree[0] == ProcessId(10, 100.0)
    assert sorted(pids(tree)) == [10, 11, 12, 13]


def test_who_is_whose_child_is_read_once_for_all_questions() -> None:
    backend = FakeBackend(FAMILY)
    table = ProcessTable(backend)
    for pid in (10, 11, 99):
        table.tree(pid)
        table.memory(pid, with_children=True)
    assert backend.parents_read == 1


def test_memory_alone_asks_for_no_tree() -> None:
    backend = FakeBackend(FAMILY)
    assert ProcessTable(backend).memory(10) == 100
    assert backend.parents_read == 0


def test_a_child_older_than_its_parent_is_a_stranger_with_a_reused_pid() -> None:
    reused = {**FAMILY, 12: replace(FAMILY[12], created=99.0)}
    assert sorted(pids(ProcessTable(FakeBackend(reused)).tree(10))) == [10, 11, 13]


def test_a_process_that_is_its_own_parent_ends_no_tree_in_a_circle() -> None:
    assert pids(ProcessTable(FakeBackend({0: FakeProcess(parent=0)})).tree(0)) == [0]


@pytest.mark.parametrize(
    ("measure", "with_children", "expected"),
    [("rss", False, 100), ("rss", True, 4123), ("pss", False, 50), ("uss", True, 50 + 10 + 1 + 2000)],
)
def test_memory_is_the_process_or_its_whole_tree(
    measure: Measure, with_children: bool, expected: int
) -> None:
    assert ProcessTable(FakeBackend(FAMILY)).memory(10, measure, with_children) == expected


def test_a_child_that_ends_meanwhile_counts_nothing() -> None:
    zombie = {**FAMILY, 12: replace(FAMILY[12], size=Gone("ended"))}
    table = ProcessTable(FakeBackend(zombie, vanishing={14: 10}))
    assert table.memory(10, with_children=True) == 4120


def test_a_child_that_cannot_be_read_makes_the_sum_unknown() -> None:
    """Left out, it would make a bloated worker look small."""
    denied = {**FAMILY, 12: replace(FAMILY[12], size=Unknown("denied"))}
    with pytest.raises(Unknown, match="denied"):
        ProcessTable(FakeBackend(denied)).memory(10, with_children=True)


@pytest.mark.parametrize("with_children", [False, True])
def test_a_process_that_is_gone_has_unknown_memory(with_children: bool) -> None:
    with pytest.raises(Unknown, match="no process 5"):
        ProcessTable(FakeBackend(FAMILY)).memory(5, with_children=with_children)


@pytest.mark.parametrize(
    ("pid", "created", "status", "alive"),
    [
        (10, 100.0, psutil.STATUS_SLEEPING, True),
        (10, 100.01, psutil.STATUS_SLEEPING, True),
        (10, 100.0, psutil.STATUS_STOPPED, True),
        (10, 100.0, psutil.STATUS_ZOMBIE, False),
        (10, 99.0, psutil.STATUS_SLEEPING, False),
        (11, 100.0, psutil.STATUS_SLEEPING, False),
    ],
)
def test_alive_means_the_same_process_and_no_zombie(
    pid: int, created: float, status: str, alive: bool
) -> None:
    table = ProcessTable(FakeBackend({10: FakeProcess(status=status)}))
    assert table.is_alive(ProcessId(pid, created)) is alive


@pytest.mark.parametrize(
    ("orphan", "is_left"),
    [
        (FakeProcess(parent=1, leader=29), True),
        (FakeProcess(parent=1, leader=10), False),
        (FakeProcess(parent=10, leader=29), False),
        (FakeProcess(parent=11, leader=29), False),
        (FakeProcess(parent=5, leader=29), True),
        (FakeProcess(parent=1, leader=0), False),
        (FakeProcess(parent=1, leader=29, status=psutil.STATUS_ZOMBIE), False),
        (FakeProcess(parent=1, leader=29, control_group="0::/user.slice"), False),
        (FakeProcess(parent=1), True),
        (FakeProcess(parent=5), False),
        (FakeProcess(parent=1, control_group="0::/system.slice/sidekiq.service"), False),
    ],
    ids=[
        "its shell is gone",
        "its shell lives",
        "it is supervised",
        "it is below a supervised one",
        "another process took it over",
        "its shell is in another pid namespace",
        "a zombie",
        "it belongs to a person",
        "its supervisord is gone",
        "another program runs it",
        "systemd runs it",
    ],
)
def test_left_behind_is_who_outlived_what_supervisord_started(orphan: FakeProcess, is_left: bool) -> None:
    others = {1: FakeProcess(parent=0), 5: FakeProcess(parent=1), 10: FakeProcess(parent=5)}
    processes = {**FAMILY, 99: FakeProcess(parent=5), **others, 30: orphan}
    table = ProcessTable(FakeBackend(processes))
    assert table.is_left_behind(30, {10, 99}) is is_left
    assert table.left_behind({10, 99}) == ([30] if is_left else [])


def test_of_a_tree_that_is_left_behind_only_the_first_process_is_named() -> None:
    shell_is_gone, below = FakeProcess(parent=1, leader=29), FakeProcess(parent=30, leader=29)
    table = ProcessTable(
        FakeBackend({1: FakeProcess(parent=0), 10: FakeProcess(), 30: shell_is_gone, 31: below})
    )
    assert table.is_left_behind(31, {10}) and table.left_behind({10}) == [30]


def test_without_control_groups_only_a_lost_shell_shows_it() -> None:
    lost = FakeProcess(parent=1, leader=29, control_group="")
    alone = FakeProcess(parent=1, control_group="")
    table = ProcessTable(FakeBackend({10: FakeProcess(control_group=""), 30: lost, 31: alone}))
    assert table.left_behind({10}) == [30]


def test_a_title_that_cannot_be_read_is_empty() -> None:
    table = ProcessTable(FakeBackend({10: FakeProcess(command_line=["sidekiq 6.4.1", "[1 of 3 busy]"])}))
    assert table.title(10) == "sidekiq 6.4.1 [1 of 3 busy]"
    assert table.title(11) == ""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A real process with one child, both holding some memory."""
    child = "import time; ballast = bytearray(b'x' * 20_000_000); print('up', flush=True); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.mark.real
class TestThisMachine:
    @pytest.mark.parametrize("measure", MEASURES)
    def test_a_childs_memory_is_seen(self, family: subprocess.Popen[str], measure: Measure) -> None:
        table = ProcessTable()
        alone = table.memory(family.pid, measure)
        assert alone > 0
        assert table.memory(family.pid, measure, with_children=True) > alone + 19 * MB

    def test_every_process_of_a_tree_lives_until_it_ends(self, family: subprocess.Popen[str]) -> None:
        tree = ProcessTable().tree(family.pid)
        assert len(tree) == 2
        assert all(ProcessTable().is_alive(process) for process in tree)
        os.killpg(family.pid, signal.SIGKILL)
        # Not waited for yet: the parent is a zombie meanwhile.
        wait_for(lambda: not any(ProcessTable().is_alive(process) for process in tree))
        with pytest.raises(Unknown):
            ProcessTable().memory(family.pid)

    def test_a_suspended_process_is_told_from_a_sleeping_one(self, family: subprocess.Popen[str]) -> None:
        table = ProcessTable()
        assert not table.is_suspended(family.pid)
        family.send_signal(signal.SIGSTOP)
        wait_for(lambda: table.is_suspended(family.pid))

    def test_a_title_is_the_command_line(self, family: subprocess.Popen[str]) -> None:
        assert ProcessTable().title(family.pid).startswith(sys.executable)

    @pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**70])
    def test_a_pid_that_no_process_has_is_unknown(self, pid: int) -> None:
        table = ProcessTable()
        for question in (table.memory, table.tree, table.is_suspended):
            with pytest.raises(Unknown):
                question(pid)
        assert table.title(pid) == ""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_pss_that_is_denied_says_what_it_needs(self) -> None:
        lost = as_another_user(lambda: ProcessTable().measured(os.getppid(), "pss").lost)
        assert lost == (
            f"pss of process {os.getpid()}, which belongs to another user, needs the capability SYS_PTRACE"
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    @pytest.mark.parametrize("measure", ["pss", "uss", "pss+swap"])
    @pytest.mark.parametrize("with_children", [True, False])
    def test_the_true_size_lies_between_the_sizes_that_another_user_sees(
        self, prefork: int, measure: Measure, with_children: bool
    ) -> None:
        """Three children got 30 MB from their parent, and have 20 MB each of their own."""

        def seen_by_another_user() -> str:
            size = ProcessTable().measured(prefork, measure, with_children)
            return f"{size.least_bytes} {size.most_bytes} {bool(size.lost)}"

        least, most, is_lost = as_another_user(seen_by_another_user).split()
        size = ProcessTable().measured(prefork, measure, with_children)
        assert size.lost == "" and size.least_bytes == size.most_bytes
        assert is_lost == "True"
        assert int(least) <= size.most_bytes <= int(most)
        if with_children:
            assert int(least) > 3 * 10 * MB and int(most) > 4 * 30 * MB


def as_another_user(question: Callable[[], str]) -> str:
    """The answer of a process without privileges."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing may leave this branch: it is a second pytest.
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, question().encode())
        except Unknown as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        words = answer.read()
    os.waitpid(child, 0)
    return words


@pytest.fixture
def prefork() -> Iterator[int]:
    """A real process with 30 MB that it shares with three children, each of which has 20 MB of its own."""
    program = (
        "import os, time\n"
        "shared = os.urandom(30_000_000)\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        own = os.urandom(20_000_000)\n"
        "        os.write(1, b'up\\n')\n"
        "        time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert [process.stdout.readline() for _ in range(3)] == ["up\n"] * 3
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_a_measure_that_was_read_is_exact() -> None:
    assert ProcessTable(FakeBackend(FAMILY)).measured(10, "pss", True) == MemorySize(2061, 2061)


def test_one_process_that_cannot_be_measured_leaves_the_sizes_of_its_whole_tree() -> None:
    """Sums of PSS and of RSS have no meaning."""
    sizes = {pid: replace(one, resident=Resident(one.size, one.size)) for pid, one in FAMILY.items()}  # type: ignore[arg-type]
    sizes[13] = replace(sizes[13], size=Unmeasurable("denied"))
    size = ProcessTable(FakeBackend(sizes)).measured(10, "pss", with_children=True)
    assert size == MemorySize(4123, 4123, "denied")
    assert ProcessTable(FakeBackend(sizes)).measured(10, "pss") == MemorySize(50, 50)


def test_a_process_that_is_gone_has_no_sizes() -> None:
    with pytest.raises(Gone):
        ProcessTable(FakeBackend(FAMILY)).measured(5, "pss", True)


def test_family_is_what_was_known_and_what_it_started_since() -> None:
    """A child of a known process belongs to it, even when that is an orphan by now; a stranger not."""
    backend = FakeBackend(
        {1: FakeProcess(0, 0.0), 20: FakeProcess(1, 5.0), 30: FakeProcess(20, 7.0), 40: FakeProcess(1, 6.0)}
    )
    table = ProcessTable(backend)
    main, orphan = ProcessId(10, 4.0), ProcessId(20, 5.0)
    assert table.family([main, orphan]) == (main, orphan, ProcessId(30, 7.0))


def test_family_leaves_out_the_children_of_another_process_with_the_pid_of_one_that_ended() -> None:
    backend = FakeBackend({10: FakeProcess(1, 9.0), 30: FakeProcess(10, 9.5)})
    ended = ProcessId(10, 4.0)
    assert ProcessTable(backend).family([ended]) == (ended,)


# --- handled signals ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("TERM", True), ("CONT", True), ("INT", False)])
def test_handled_signals_are_the_bits_of_the_mask(name: str, expected: bool) -> None:
    mask = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGCONT - 1)
    assert ProcessTable(FakeBackend({7: FakeProcess(caught=mask)})).handles(7, name) is expected


def test_handled_signals_that_cannot_be_read_are_unknown() -> None:
    backend = FakeBackend({7: FakeProcess(caught=Unknown("not shown here"))})
    assert ProcessTable(backend).handles(7, "CONT") is None
    assert ProcessTable(backend).handles(8, "CONT") is None


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux shows handled signals")
def test_a_real_process_shows_the_signals_that_it_handles() -> None:
    table = ProcessTable()
    former = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        assert table.handles(os.getpid(), "USR2") is True
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert table.handles(os.getpid(), "USR2") is False
    assert table.handles(2**22 + 1, "USR2") is None


def test_age_is_measured_on_the_clock_of_the_process_starts() -> None:
    now = [150.0]
    table = ProcessTable(FakeBackend(dict(FAMILY)), lambda: now[0])
    assert table.age_seconds(12) == 49.0
    now[0] = 100.5
    assert table.age_seconds(12) == 0.0, "the clock of process starts is a tick ahead"
    now[0] = 50.0
    with pytest.raises(Unknown, match="began in the future"):
        table.age_seconds(12)
    with pytest.raises(Gone):
        table.age_seconds(77)


def test_age_directory_and_environment_of_a_real_process() -> None:
    words = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env={"KEY": "value"}
    ) as child:
        assert child.stdout is not None and child.stdout.readline()
        table = ProcessTable()
        assert 0.0 <= table.age_seconds(child.pid) < 600.0
        assert table.directory(child.pid) == "/"
        assert table.environment(child.pid)["KEY"] == "value"
        child.communicate(b"\n")
    with pytest.raises(Unknown):
        table.directory(child.pid)
