"""Keys of ours in sections of supervisord's files, where supervisord ignores them without a word."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from supervisor_memkill.config import ini
from supervisor_memkill.config.entries import entry_place
from supervisor_memkill.config.ini import Section
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.sections import SECTION
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.errors import ConfigError

_OF_WORKERS = ("program", "fcgi-program", "group")
"""The sorts of sections whose name a pool can have among its `programs`."""
_SORTS = (*_OF_WORKERS, "eventlistener", "supervisord")
_SUPERVISORDS = """
    autorestart autostart buffer_size childlogdir command directory environment events exitcodes identifier
    killasgroup logfile logfile_backups logfile_maxbytes loglevel minfds minprocs nocleanup nodaemon numprocs
    numprocs_start pidfile priority process_name programs redirect_stderr result_handler serverurl silent
    socket socket_backlog socket_mode socket_owner startretries startsecs stderr_capture_maxbytes
    stderr_events_enabled stderr_logfile stderr_logfile_backups stderr_logfile_maxbytes stderr_syslog
    stdout_capture_maxbytes stdout_events_enabled stdout_logfile stdout_logfile_backups
    stdout_logfile_maxbytes stdout_syslog stopasgroup stopsignal stopwaitsecs strip_ansi umask user
"""
SUPERVISORDS_KEYS = frozenset(_SUPERVISORDS.split())
"""What supervisord 4.2 and 4.3 know in these sections (supervisor/options.py)."""


def find(files: Iterable[Path], pools: Collection[PoolConfig], kind_keys: Iterable[str]) -> Iterator[str]:
    """One line about each misplaced key: where it stands, and the section that it belongs in.

    `kind_keys`: the options of the kinds in use. A file that cannot be read is passed over.
    """
    of_pools = ({*POOL_KEYS, *kind_keys}) - SUPERVISORDS_KEYS
    ours = of_pools | (GLOBAL_KEYS.keys() - SUPERVISORDS_KEYS)
    for path in files:
        try:
            file = ini.parse(path, lambda name: name.partition(":")[0] in _SORTS, lambda _: False)
        except ConfigError:
            continue
        for section in file.sections:
            for entry in section.entries:
                if entry.key in ours:
                    right = _right_section(section, entry.key in of_pools, entry.key in GLOBAL_KEYS, pools)
                    yield f"{entry_place(section.name, entry)}: has no effect here, and belongs in {right}"


def _right_section(
    section: Section, is_of_pools: bool, is_global: bool, pools: Collection[PoolConfig]
) -> str:
    sort, _, name = (part.strip() for part in section.name.partition(":"))
    if sort in _OF_WORKERS and is_of_pools:
        return f"[{SECTION}:{next((one.name for one in pools if _may_have(one, name)), name)}]"
    return f"[{SECTION}]" if is_global else f"the section of a pool, [{SECTION}:NAME]"


def _may_have(pool: PoolConfig, name: str) -> bool:
    """Whether workers of this program or group may be in the pool."""
    return any(fnmatchcase(name, pattern.partition(":")[0]) for pattern in pool.programs)
