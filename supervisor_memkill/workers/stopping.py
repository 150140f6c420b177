"""The base class of kinds that drain by stopping: the framework's graceful stop is the only way to drain it.

supervisord sends stopsignal once and waits for stopwaitsecs. No other signal may reach the worker meanwhile:
most frameworks drop their running jobs at a second graceful signal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.workers.advice import (
    LONGEST_JOB,
    advise_on_drain_timeout,
    advise_on_job_limit,
    advise_on_killasgroup,
    advise_on_killed_group,
    advise_on_reached_children,
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.base import BaseKind
from supervisor_memkill.workers.command_line import (
    TimeOption,
    beginning,
    has_words,
    has_worker_below,
    why_wrapped,
)
from supervisor_memkill.workers.contract import Advice, LeftBehind, Note, Option, Reading, Target, unknown
from supervisor_memkill.workers.queues import compared
from supervisor_memkill.workers.wrappers import runs_below, unknown_wrapper

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


UNKNOWN_WRAPPER = (
    "{0} runs {1} as its child, and it is not known whether {0} passes the stop signal to it: "
    "start {1} without {0}, or with exec"
)


def parse_text(text: str) -> str:
    """The text without the white space around it. Raises ValueError if nothing is left."""
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text.strip()


@dataclass(frozen=True)
class GracefulStop:
    """What a framework does at its stop signal: the facts that the advice is made from."""

    other_signals: str
    """What happens to running jobs at any other signal; it follows a colon."""
    signals: frozenset[str] = frozenset({"TERM", "INT"})
    """The signals that stop the framework gracefully, without SIG."""
    job_limit: TimeOption | None = None
    """The option after which the framework itself cuts running jobs; None if it waits without limit."""
    then: TimeOption | None = None
    """The option that bounds what the framework does after its jobs, if `job_limit` is in force."""
    longest: str = LONGEST_JOB
    """What stopwaitsecs must cover, if the framework runs more than its running jobs before it ends."""
    stopasgroup_harm: str = ""
    """What a stop signal for the whole process group does to running jobs; empty if nothing."""
    stopasgroup_refuses: bool = True
    """That harm loses jobs for sure: the workers are not drained. Otherwise it is a hint."""
    jobs_share_group: bool = True
    """What a job starts is in the worker's process group, so that stopasgroup reaches it."""
    children_survive_kill: bool = False
    """The worker processes go on after a SIGKILL of their parent alone."""
    killasgroup_harm: str = ""
    """What a SIGKILL for the whole process group does to running jobs that would end well without it."""


@dataclass(frozen=True)
class SignOfReadiness:
    """A signal that a worker handles from the moment on from which it stops gracefully."""

    signal: str
    """Its name, without SIG."""
    without: str
    """What it means that the worker does not handle it, and what to do."""


class StopThenWait(BaseKind):
    """A worker that its command line identifies, without a quiet and without a busy count."""

    command_text: ClassVar[str]
    """The text that the worker's command line contains, however the worker is started."""
    other_command_texts: ClassVar[tuple[str, ...]] = ()
    """Other texts, any of which does as well."""
    command_rejects: ClassVar[Mapping[str, str]] = {}
    """Texts that the worker's command line must not contain, each with what is wrong with it."""
    sign_of_readiness: ClassVar[SignOfReadiness | None] = None
    """Where the system shows handled signals, a worker without this one is not recognised."""
    stop: ClassVar[GracefulStop]
    """What the framework does at its stop signal."""
    own_programs: ClassVar[frozenset[str]] = frozenset()
    """The programs that run the jobs themselves, such as php: children's memory counts only behind others."""
    options: ClassVar[Mapping[str, Option]] = {
        "command_has": Option(
            parse_text, None, "text in the worker's command line, if the framework's name is not in it"
        ),
    }

    def read_one(self, target: Target, table: ProcessTable) -> Reading:
        """The reading that the command line alone allows."""
        title = table.title(target.process.pid)
        if not title:
            return unknown("the command line of the process cannot be read", target.note)
        why = self._why_unrecognised(title) or self._why_unready(target.process.pid, table)
        if why:
            return Reading(False, False, quiet=None, busy=None, why=why, note=target.note or {})
        wrapper = unknown_wrapper(target.process.pid, table)
        return Reading(
            True,
            True,
            quiet=None,
            busy=None,
            queues=compared(self.values, _remembered(self.queues_in, title)),
            remark=UNKNOWN_WRAPPER.format(wrapper, self.framework) if wrapper else "",
            note=target.note or {},
        )

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """The queues of a worker with this command line; empty: all workers of the pool are alike."""
        return frozenset()

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        """Those with the framework's command line: worker processes may outlive their parent."""
        titles = {pid: table.title(pid) for pid in table.left_behind(supervised)}
        return [LeftBehind(pid, beginning(title)) for pid, title in titles.items() if self._is_named(title)]

    @classmethod
    def plain_command(cls, title: str) -> str:
        """The command line without what may stand within `command_text`: all of it, unless a kind knows."""
        return title

    @classmethod
    def is_worker(cls, title: str) -> bool:
        """Whether this command line is that of one of the framework's workers."""
        plain = cls.plain_command(title)
        return any(text in plain for text in (cls.command_text, *cls.other_command_texts))

    @classmethod
    def matches_command(cls, title: str) -> bool:
        texts, plain = (cls.command_text, *cls.other_command_texts), cls.plain_command(title)
        return any(has_words(plain, text) for text in texts) and not any(cls._rejected(title))

    def _why_unrecognised(self, title: str) -> str:
        """Why a process with this command line is not recognised; empty if it is."""
        wrapped = why_wrapped(title, self.framework)
        rejected = next((f"{text}: {why}" for text, why in self._rejected(title)), "")
        if wrapped or rejected or self._is_named(title):
            return wrapped or rejected
        wanted = " or ".join(self._wanted())
        return f"{beginning(title)!r} does not contain {wanted}: set command_has to a text that it contains"

    def _is_named(self, title: str) -> bool:
        given = self.values.get("command_has")
        return given in title if given else self.is_worker(title)

    def _wanted(self) -> Sequence[str]:
        """The texts of which the command line must contain one."""
        given = self.values.get("command_has")
        return [given] if given else [self.command_text, *self.other_command_texts]

    def _why_unready(self, pid: int, table: ProcessTable) -> str:
        """Why the stop signal would cut this worker's jobs, by the signals that it handles; empty if not."""
        sign = self.sign_of_readiness
        if sign is None or table.handles(self._behind_wrapper(pid, table), sign.signal) is not False:
            return ""
        return sign.without

    def _behind_wrapper(self, pid: int, table: ProcessTable) -> int:
        """The framework's own process, if a wrapper runs it as its child; otherwise the process itself."""
        if not (_is_wrapper(pid, table) or self._is_another_program(pid, table)):
            return pid
        try:
            below = [one.pid for one in table.tree(pid)[1:]]
        except Unknown:
            return pid
        return next(
            (one for one in below if self._is_named(table.title(one)) and not _is_wrapper(one, table)), pid
        )

    def _is_another_program(self, pid: int, table: ProcessTable) -> bool:
        """A program of an unknown name, which has a child: it may handle all signals, to pass them on."""
        return bool(self.own_programs) and runs_below(pid, table, self.own_programs)

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        raise NotSent(f"{self.framework} cannot be quieted: it drains by stopping")

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes, unless the jobs run in the supervised process itself and no wrapper is in front of it."""
        return not self.own_programs or runs_below(process.pid, table, self.own_programs)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        stop = self.stop_of(program)
        return [
            *(Advice(f"command: {text}: {why}", True) for text, why in self._rejected(program.command)),
            *advise_on_stopsignal(program, stop.signals, stop.other_signals, refuses=True),
            *advise_on_drain_timeout(program, self.framework, drain_timeout_seconds, longest=stop.longest),
            *_advise_on_job_limit(stop, program, self.framework, drain_timeout_seconds),
            *self.more_advice(program, drain_timeout_seconds),
            *_advise_on_stopasgroup(stop, program),
            *(advise_on_killasgroup(program, self.framework) if stop.children_survive_kill else ()),
            *advise_on_killed_group(program, stop.killasgroup_harm),
            *advise_on_wrapper(program, self.framework, refuses=True),
        ]

    @classmethod
    def _rejected(cls, command: str) -> Iterator[tuple[str, str]]:
        plain = cls.plain_command(command)
        return ((text, why) for text, why in cls.command_rejects.items() if text in plain)

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """`stop`, changed if the program's settings or options change what the framework does."""
        return self.stop

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterable[Advice]:
        """What `stop` cannot express."""
        return ()


@functools.lru_cache(maxsize=1024)  # Each look asks it of each worker, and most titles do not change.
def _remembered(queues_in: Callable[[str], frozenset[str]], title: str) -> frozenset[str]:
    return queues_in(title)


def _is_wrapper(pid: int, table: ProcessTable) -> bool:
    return has_worker_below(table.title(pid)) or bool(unknown_wrapper(pid, table))


def _advise_on_job_limit(
    stop: GracefulStop, program: ProgramInfo, framework: str, drain_timeout_seconds: float | None
) -> Iterator[Advice]:
    limit = stop.job_limit
    seconds = limit.seconds(program.command) if limit else None
    if limit is None or seconds is None:
        return
    yield from advise_on_job_limit(seconds, limit.setting(program.command), framework, drain_timeout_seconds)
    if stop.then is None:
        yield from advise_on_stopwaitsecs(program, seconds, limit.name)
    else:
        both = seconds + (stop.then.seconds(program.command) or 0.0)
        yield from advise_on_stopwaitsecs(program, both, f"{limit.name} and {stop.then.name} together")


def _advise_on_stopasgroup(stop: GracefulStop, program: ProgramInfo) -> Iterator[Advice]:
    if stop.stopasgroup_harm:
        yield from advise_on_stopasgroup(program, stop.stopasgroup_harm, refuses=stop.stopasgroup_refuses)
    elif stop.jobs_share_group:
        yield from advise_on_reached_children(program)
