"""The contract of a kind: how to recognise, quiet, read and resume one framework's workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from supervisor_memkill.processes import Measure

if TYPE_CHECKING:
    from supervisor_memkill.clock import Clock
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

Note = Mapping[str, Any]
"""What a kind must remember of one drain. JSON values only: it is kept in the journal."""


@dataclass(frozen=True)
class Option:
    """One configuration key that belongs to a kind."""

    parse: Callable[[str], Any]
    """Raises ValueError whose text says what is allowed."""
    default: Any
    help: str
    """One phrase for the documentation: what it is, its effect, then the allowed values and their units."""
    shown_default: str = ""
    """The default in words, where `default` does not say it, such as ``this machine's name``."""


@dataclass(frozen=True)
class Traits:
    """What the core must know of a kind to choose the way of draining."""

    quiets: bool
    """True: quiet, then poll. False: its graceful stop is its only way of draining."""
    confirms_quiet: bool = False
    """A reading can show that the quiet arrived."""
    repeat_quiet_after_seconds: float | None = None
    """Unconfirmed for so long, the quiet is sent again; None where repeating could harm."""
    can_resume: bool = False
    names_jobs: bool = False
    """`Reading.jobs` can be known, so that protect_jobs means something."""
    measure: Measure = "rss"
    """What counts as its memory, unless the pool's `measure` says otherwise."""


@dataclass(frozen=True)
class Target:
    """A RUNNING process whose reading is wanted."""

    process: ProcessInfo
    note: Note | None = None
    """The note of its drain, from the quiet on; None while nothing was done to it."""


@dataclass(frozen=True)
class Reading:
    """What a kind found out about one process. None always means unknown."""

    recognised: bool | None
    """The process is what the pool says; no signal is sent otherwise."""
    in_service: bool | None
    """The kind finds nothing wrong: it would take a job now."""
    quiet: bool | None
    """It takes no new jobs, by a reading that would have shown otherwise."""
    busy: int | None
    """Jobs in hand, for people to read; drains go by `idle`."""
    idle: bool = False
    """Busy is 0 in a reading trustworthy enough to stop the worker on it (needs the note)."""
    jobs: tuple[str, ...] | None = None
    """Class names of the running jobs."""
    queues: frozenset[str] = frozenset()
    """What it works on; a peer must cover the same. Empty: nothing is known or it does not matter."""
    frozen: bool = False
    """Our own quiet suspended it (state T): it needs SIGCONT."""
    why: str = ""
    """In an operator's words, what is wrong or unknown; empty when all is known and well."""
    hold: str = ""
    """Why no drain may begin at this moment, although all is well."""
    remark: str = ""
    """What the operator should mend though nothing is wrong, such as a wrapper without exec."""
    note: Note = field(default_factory=dict)
    """The note as it must be kept from now on.

    That of the last reading before the quiet is saved before the quiet is sent: what a resume needs,
    whoever dies, belongs into it.
    """


def unknown(why: str, note: Note | None = None) -> Reading:
    """The reading that concludes nothing."""
    return Reading(recognised=None, in_service=None, quiet=None, busy=None, why=why, note=note or {})


@dataclass(frozen=True)
class Advice:
    """What is wrong with a program's settings in supervisord."""

    text: str
    """One sentence that names the setting, its value, what it costs and what it should be."""
    refuses: bool = False
    """The kind's own graceful stop would lose jobs: no drain while this is so."""


@dataclass(frozen=True)
class Tools:
    """What a kind may use of the world outside; a test passes fakes."""

    redis: Callable[[], Any]
    """The client of the pool's `redis`, made on first use (decoded strings, short time limits)."""
    signal: Callable[[str, str], None]
    """``signal("group:name", "TSTP")``, by supervisord, to the process itself and no other."""
    clock: Clock
    host: str
    """The configured name of this machine."""
    key_namespace: str = ""
    """`key_namespace` of the pool; empty for none."""


class Kind(Protocol):
    """One pool's adapter to its framework."""

    options: ClassVar[Mapping[str, Option]]
    """The kind's own configuration keys."""
    needs_redis: ClassVar[bool]
    """Whether it can do nothing without the pool's `redis`."""
    traits: Traits

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None: ...

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        """The traits that a kind with these values has; `traits` is the same of an instance."""
        ...

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with these values together, in words; empty when all is well.

        `values` holds every key of `options`, parsed or by default, and `redis` (URL or None).
        """
        ...

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        """A reading per worker (``group:name``), of all of the pool at once.

        Never raises for what the world does: away is `unknown`.
        """
        ...

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        """Tell the process to take no new job; the note to keep.

        Raises NotSent when certainly nothing reached it, another MemkillError when something may have.
        """
        ...

    def resume(self, target: Target, table: ProcessTable) -> None:
        """Undo the quiet. Called only when `traits.can_resume`. Raises MemkillError."""
        ...

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Whatever helps supervisord's stop reach the framework's own process. Raises MemkillError."""
        ...

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """What ``children = auto`` means for this process."""
        ...

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        """Settings of this program that could lose jobs: its stopsignal, its stopwaitsecs, its wrapper ...

        A kind that drains by its stop has supervisord's stopwaitsecs for its drain_timeout: one that is
        shorter cuts jobs that the operator allowed more time.
        """
        ...
