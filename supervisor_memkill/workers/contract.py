"""The contract of a kind: recognise, quiet, read and resume the workers of one framework."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import Measure

if TYPE_CHECKING:
    from supervisor_memkill.clock import Clock
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

Note = Mapping[str, Any]
"""What a kind must remember about one drain. JSON values only: the journal keeps it."""


@dataclass(frozen=True)
class Option:
    """One configuration key that belongs to a kind."""

    parse: Callable[[str], Any]
    """Raises ValueError; its text says what is allowed, such as "a duration such as 90s or 5m"."""
    default: Any
    """A parsed value; None for an option without a value."""
    help: str
    """One phrase for the documentation: what it is, its effect, then the allowed values and their units."""
    shown_default: str = ""
    """The default in words, where `default` does not say it, such as ``this machine's name``."""


@dataclass(frozen=True)
class Traits:
    """What the rules must know about a kind to choose how a worker is drained."""

    quiets: bool
    """True: quiet the worker, then poll it until it is idle. False: the graceful stop is the drain."""
    confirms_quiet: bool = False
    """A reading can show that the quiet arrived."""
    repeat_quiet_after_seconds: float | None = None
    """The quiet is sent again if it is unconfirmed for so long; None if repeating it could harm."""
    can_resume: bool = False
    """The quiet can be undone."""
    names_jobs: bool = False
    """`Reading.jobs` can be known, so that `protect_jobs` works."""
    measure: Measure = "rss"
    """What counts as the worker's memory, unless the pool's `measure` says otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """A RUNNING process that the kind reads or acts on."""

    process: ProcessInfo
    note: Note | None = None
    """The note of its drain, from the quiet on; None while no drain has begun."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a kind found out about one process. None always means unknown."""

    recognised: bool | None
    """The process is a worker of this kind; no signal is sent otherwise."""
    in_service: bool | None
    """The worker would take a job now."""
    quiet: bool | None
    """The worker takes no new job. True only from a source that would have shown the opposite."""
    busy: int | None
    """The number of running jobs, for people to read; a drain goes by `idle`."""
    idle: bool = False
    """The worker has no running job and cannot get one: it may be stopped. Needs the note."""
    jobs: tuple[str, ...] | None = None
    """The class names of the running jobs."""
    runs: Mapping[str, int] | None = None
    """How many jobs of each class the process has begun since its start, where the framework counts them."""
    queues: frozenset[str] = frozenset()
    """The queues that the worker takes jobs from; a peer must have the same. Empty: irrelevant."""
    why_no_peers: str = ""
    """Why no other worker counts as a peer, such as unknown queues, and what to do; it ends a refusal."""
    frozen: bool = False
    """The quiet suspended the process (state T): it needs SIGCONT."""
    why: str = ""
    """What is wrong or unknown, in an operator's words; empty if all is known and well."""
    hold: str = ""
    """Why no drain may begin at this moment, although all is well."""
    source_away: str = ""
    """Why the source of the readings, such as Redis, does not answer; empty: it answered or was not asked."""
    remark: str = ""
    """What the operator should change although nothing is wrong, such as a wrapper without exec."""
    note: Note = field(default_factory=dict)
    """The note as it must be kept from now on.

    The note of the last reading before the quiet is saved before the quiet is sent. So it must hold what a
    resume needs, even if the listener dies.
    """


def unknown(why: str, note: Note | None = None) -> Reading:
    """The reading that concludes nothing, with the reason and the note to keep."""
    return Reading(recognised=None, in_service=None, quiet=None, busy=None, why=why, note=note or {})


def unrecognised(why: str, note: Note | None = None) -> Reading:
    """The reading of a process that is not a worker of this kind: it gets no signal."""
    return replace(unknown(why, note), recognised=False)


@dataclass(frozen=True)
class LeftBehind:
    """A process of the framework on this machine that nobody supervises, and that goes on taking jobs."""

    pid: int
    record: str
    """The name of the framework's record of it."""
    queues: frozenset[str] = frozenset()
    """The queues that it takes jobs from; empty: unknown."""


@dataclass(frozen=True)
class Advice:
    """One problem in a program's supervisord settings."""

    text: str
    """One sentence: the setting and its value, what it costs, and what it should be."""
    refuses: bool = False
    """The graceful stop would lose jobs: the program's workers are not drained until this is mended."""
    cuts_jobs: bool = False
    """A stop while jobs are running would lose them. The worker is drained, but ``on_timeout = stop`` waits
    on until its jobs have ended, or until this is mended."""
    comes_first: bool = False
    """A limit of the framework's own acts before the pool's."""
    is_note: bool = False
    """Good to know, and nothing has to be changed: the log and the dry run leave it out."""


@dataclass(frozen=True)
class Tools:
    """What a kind may use of the outside world; tests pass fakes."""

    redis: Callable[[], Any]
    """The client of the pool's `redis`, made at first use (decoded strings, short time limits).

    A `supervisor_memkill.world.redis_commands.RedisClient`; for sentinels and clusters, redis-py's client.
    Both have the methods of the first. Other commands: ``execute_command("ZSCORE", key, member)``.
    """
    signal: Callable[[str, str], None]
    """``signal("group:name", "TSTP")``: supervisord sends it to this process and to no other."""
    clock: Clock
    """Seconds since boot, comparable between processes: a note may hold them."""
    host: str
    """The configured name of this machine."""
    key_namespace: str = ""
    """`key_namespace` of the pool; empty for none."""
    has_redis: bool = False
    """The pool has a `redis`; otherwise asking for the client raises MemkillError."""
    max_rss_bytes: int | None = None
    """`max_rss` of the pool; None if it is a share of the machine's memory, or not set."""


class Kind(Protocol):
    """Adapts one pool to its framework. `BaseKind` has a default for all members but `read_one`."""

    options: ClassVar[Mapping[str, Option]]
    """The kind's own configuration keys."""
    needs_redis: ClassVar[bool]
    """The kind cannot work without the pool's `redis`."""
    traits: Traits
    """How a worker is drained."""

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None: ...

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        """The traits with these values, before an instance exists; `traits` of an instance is the same."""
        ...

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with the combination of these values, one sentence each; empty if all is well.

        `values` holds every key of `options`, parsed or by default, and `redis` (URL or None).
        """
        ...

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        """One reading per worker (``group:name``), for all workers of the pool in one call.

        Never raises for failures of the outside world: the reading is `unknown` then.
        """
        ...

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        """The framework's processes on this machine that nobody supervises, by its own records.

        `supervised`: the pids of all processes of supervisord. They are not left behind, nor is what is below
        them. Never raises for failures of the outside world: empty then.
        """
        ...

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        """Make the process take no new job, and return the note to keep.

        Raises NotSent if certainly nothing reached the process, another MemkillError if something may have.
        """
        ...

    def resume(self, target: Target, table: ProcessTable) -> None:
        """Undo the quiet. Called only if `traits.can_resume`. Raises MemkillError."""
        ...

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Do what helps supervisord's stop signal reach the framework's own process. Raises MemkillError."""
        ...

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Whether the memory of the child processes counts for this process with ``children = auto``."""
        ...

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        """The settings of this program that could lose jobs: stopsignal, stopwaitsecs, a wrapper and others.

        A kind that drains by stopping has only supervisord's stopwaitsecs for its drain_timeout: a shorter
        stopwaitsecs cuts jobs that the operator allowed more time. None: such a kind, and nobody set
        drain_timeout, so that stopwaitsecs is the time that jobs have. Other kinds always get a number.
        """
        ...


@runtime_checkable
class MatchesCommands(Protocol):
    """A kind that ``worker = auto`` and a dry run without configuration can recognise."""

    framework: ClassVar[str]
    """The framework's name in messages."""

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Whether this command line, or process title, is surely that of one of the framework's workers.

        Nobody has named the kind yet: the framework's name in a path or an argument is not enough.
        """
        ...


@runtime_checkable
class FindsOthers(Protocol):
    """A kind that can say what is there of its framework, where none of a pool's workers is recognised."""

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        """What is there instead, such as records of another host or in another database: a clause.

        Empty if nothing is found. It is called rarely, and may take a second. Raises MemkillError.
        """
        ...
