"""What a listener must know before it begins. A child process reads it (see cli.py), and sends it."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from supervisor_memkill.config.loaded import Loaded
from supervisor_memkill.config.values import Config
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.journal_place import JournalPlace
from supervisor_memkill.world.starter import Starter


@dataclass(frozen=True)
class Settled:
    """The part of the configuration that the parts of a command are built from."""

    config: Config
    files: tuple[Path, ...]
    """The files of the configuration that count: supervisord's main file, and those with our sections."""
    supervisords_path: Path | None
    """The main file of the supervisord; None: not known."""
    eventlistener_groups: frozenset[str]
    journals: tuple[JournalPlace, ...]
    """Where the listener may keep its journal, the likeliest place first; there is at least one."""


@dataclass(frozen=True)
class Prepared:
    """The same for a listener, and what it reports about its configuration."""

    above: Starter
    settled: Settled
    unread: tuple[str, ...] = ()
    """The included files that cannot be read, one line of text each."""
    misplaced: tuple[str, ...] = ()
    """Keys of ours in supervisord's sections, one line of text each."""
    loaded: Loaded = field(default_factory=Loaded)
    """The files and sections as they were read."""
