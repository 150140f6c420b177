"""What the checks look at. All of it was read before the first check, and nothing was changed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from supervisor_memkill.commands.doctor.finding import Finding
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.config.values import Config
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.pool_sizes import TooFew
from supervisor_memkill.listener.rivals import Rival
from supervisor_memkill.listener.state_values import ListenerState
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.rules.pools import Oddity
from supervisor_memkill.world.machine import MemoryLimit


@dataclass(frozen=True)
class ConfigurationFacts:
    """Our own sections."""

    config: Config
    """Without what is wrong."""
    is_found: bool = True
    has_pools: bool = True
    """There is a section for a pool, be it right or wrong."""
    problems: tuple[str, ...] = ()
    """Each begins with its place, if it has one."""
    unread: tuple[str, ...] = ()
    """The included files that cannot be read."""
    misplaced: tuple[str, ...] = ()
    """Keys of ours in supervisord's sections; each begins with its place."""
    files: tuple[Path, ...] = ()
    hook_problem: str = ""
    """Why the command of `hook` cannot be executed; empty: it can, there is none, or that is not known."""


@dataclass(frozen=True)
class SupervisordFacts:
    """The supervisord that is asked."""

    url: str
    refusal: str = ""
    """Why it refuses every call, such as a wrong password; empty: it does not."""
    silence: str = ""
    """Why it does not answer; empty: it does."""
    version: str = ""
    """Empty: unknown."""
    pid: int | None = None
    processes: tuple[ProcessInfo, ...] = ()
    programs: tuple[ProgramInfo, ...] = ()
    """The settings in force, as far as they are known."""
    alerts: tuple[str, ...] = ()
    """Why supervisord does not report the settings of its programs."""
    sections: SupervisordSections = field(default_factory=SupervisordSections)
    """Its own files as they are now; empty: not known."""

    @property
    def answers(self) -> bool:
        return not self.refusal and not self.silence


@dataclass(frozen=True)
class ListenerFacts:
    """Our event listener under this supervisord."""

    processes: tuple[ProcessInfo, ...] = ()
    """Those of our listeners; several, if there are too many."""
    programs: tuple[ProgramInfo, ...] = ()
    """Ordinary programs that run our listener's command by mistake."""
    in_files: tuple[str, ...] = ()
    """The groups of listeners of ours in supervisord's files."""
    events: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What each listener in the files subscribes to, by its group."""
    last_lines: Mapping[str, str] = field(default_factory=dict)
    """The last line of its log, by ``group:name``, as far as it is known."""
    in_unknown_state: frozenset[str] = frozenset()
    """The listeners that supervisord sends no event any more, by its own log."""
    state: ListenerState | None = None
    """What the listener wrote last."""
    is_alive: bool = False
    """The process that wrote the state lives."""
    hidden: str = ""
    """Why its state cannot be read although there may be one; empty: it can, or there is none."""
    unreadable: str = ""
    """Why its state says nothing although it may be read; empty: it says something, or there is none."""
    unwritable: str = ""
    """Why it can write neither its journal nor its state; empty: it can, or that is not known."""
    changes: tuple[str, ...] = ()
    """What changed in our sections since the listener read them."""
    user: str = ""
    """The user of the listener; empty: unknown."""
    asking_user: str = ""
    """The user of this command; empty: unknown."""
    closed_socket: str = ""
    """Why supervisord's socket is closed to the listener's user; empty: it is open, or that is not known."""
    lacks_password: bool = False
    """supervisord's server wants a password, and the listener surely has none."""
    now: float = 0.0
    """On the boot clock."""


@dataclass(frozen=True)
class PoolFacts:
    """One pool at this moment."""

    survey: PoolSurvey
    too_few: tuple[TooFew, ...] = ()
    """Its workers that can never drain, as far as that is known."""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class RedisFacts:
    """One Redis."""

    url: str
    """Without its password."""
    is_ours: bool
    """The listeners coordinate through it; otherwise it has only the records of workers."""
    away: str = ""
    """Why it does not answer; empty: it does."""
    version: str = ""
    """Empty: unknown, as all else that needs the permission for INFO."""
    policy: str = ""
    """``maxmemory-policy``."""
    maxmemory_bytes: int = 0
    """0: no limit, or unknown."""
    is_cluster: bool = False
    """It is a node of a cluster, and the URL names one server."""
    is_replica: bool = False
    forbidden: tuple[str, ...] = ()
    """The commands that this user may not use on our keys."""
    is_full: bool = False
    """It refuses to write for lack of memory."""
    clock_ahead_seconds: float = 0.0
    """Its clock minus this machine's; as far as the time of the answer allows."""


@dataclass(frozen=True)
class Facts:
    """Everything."""

    configuration: ConfigurationFacts
    supervisord: SupervisordFacts
    listener: ListenerFacts = ListenerFacts()
    pools: tuple[PoolFacts, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    rivals: tuple[Rival, ...] = ()
    redis: tuple[RedisFacts, ...] = ()
    contents: Contents = field(default_factory=Contents)
    """The journal of the listener, as far as it can be read."""
    memory: MemoryLimit | None = None
    """What this machine, or its control group, has; None: unknown."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where sections are, ``PATH:LINE``, by ``[section]`` of ours and by ``group:name`` of processes."""
    failed: tuple[Finding, ...] = ()
    """What could not be read because of an error in this program."""
