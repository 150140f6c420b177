"""The configuration as a listener loaded it: by it a command sees later whether the files changed since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path

from supervisor_memkill.config.ini import Section, absolute
from supervisor_memkill.config.sections import ParsedFiles
from supervisor_memkill.dataclass import dataclass


@dataclass(frozen=True)
class LoadedSection:
    """One section of ours: where it stands, and a digest of its keys and values."""

    path: str
    digest: str


@dataclass(frozen=True)
class Loaded:
    """The files and sections of one configuration."""

    named: str = ""
    """The file that ``--config`` named; empty: the configuration is supervisord's own."""
    files: tuple[str, ...] = ()
    """The first file, and those with our sections."""
    sections: Mapping[str, LoadedSection] = field(default_factory=dict)
    """By the name of the section, such as ``memkill:jobs``."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """The stamp of each file that a `redis_file` names, by its path; empty: there is no file.

    A file that cannot be looked at is left out.
    """


NOTHING = Loaded()


def loaded(reading: ParsedFiles, named: Path | None, secrets: Iterable[str] = ()) -> Loaded:
    """What these files say. Comments, blank lines and the order of keys make no difference.

    `secrets`: the paths of the files that each `redis_file` names.
    """
    return Loaded(
        named="" if named is None else str(absolute(named)),
        files=tuple(str(absolute(path)) for path in reading.paths),
        sections={one.name: _loaded_section(one) for one in reading.sections},
        secrets={path: stamp for path in secrets if (stamp := _stamp(path)) is not None},
    )


def _loaded_section(section: Section) -> LoadedSection:
    import hashlib  # For a child process: it loads OpenSSL, which would be 0.6 MB of a listener.

    values = sorted((entry.key, entry.value) for entry in section.entries)
    text = json.dumps(values).encode(errors="surrogateescape")
    return LoadedSection(str(absolute(section.place.path)), hashlib.sha256(text).hexdigest()[:16])


def _stamp(path: str) -> str | None:
    """When the file was written, and which file it is; nothing of what it holds, by which one could guess it.

    Empty: there is no file. None: it cannot be looked at.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    return f"{found.st_mtime_ns}:{found.st_ino}"


def changes(before: Loaded, now: Loaded) -> Iterator[str]:
    """What changed in the files since `before` was loaded, one clause for each section and file."""
    for name in sorted({*before.sections, *now.sections}):
        if name not in before.sections:
            yield f"[{name}] was added in {now.sections[name].path}"
        elif name not in now.sections:
            yield f"[{name}] was removed from {before.sections[name].path}"
        elif now.sections[name].digest != before.sections[name].digest:
            yield f"[{name}] was changed in {now.sections[name].path}"
    for path in sorted({*before.secrets} & {*now.secrets}):
        if now.secrets[path] != before.secrets[path]:
            yield f"redis_file {path} {'was written anew' if now.secrets[path] else 'is gone'}"
