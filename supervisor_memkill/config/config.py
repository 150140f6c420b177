"""The configuration: its keys, their defaults, and the reading of both into checked values.

`GLOBAL_KEYS` and `POOL_KEYS` are the one table of keys; a kind adds its own (`Kind.options`). Durations
are seconds here, whatever their unit in the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_memkill.config.inifile import SECTION, Entry, Reading, Section
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.processes import Measure
from supervisor_memkill.units import (
    Size,
    parse_choice,
    parse_duration,
    parse_positive_duration,
    parse_size,
    parse_whole,
    parse_words,
    parse_yes_no,
)
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.world import redis_url

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind

REDIS_VARIABLE = "MEMKILL_REDIS"
"""The environment variable that stands in for an absent `redis` in [memkill]; the file goes first."""
SLOT_TTL_HEARTBEATS = 5
"""`slot_ttl` spans at least so many heartbeats: a few lost ones must not cost the slot."""


@dataclass(frozen=True)
class PoolConfig:
    """One ``[memkill:NAME]`` section."""

    name: str
    programs: tuple[str, ...]
    """Globs over ``group:name`` and ``group``."""
    worker: str = "plain"
    """The name of its kind."""
    max_rss: Size | None = None
    """None only where no limit is set yet, for a dry run: `load` requires it."""
    hard_max_rss: Size | None = None
    """None: no hard limit."""
    measure: Measure | None = None
    """``rss``, ``pss`` or ``uss``; None: the kind knows."""
    children: bool | None = None
    """Whether the children's memory counts; None: the kind knows."""
    strikes: int = 1
    """Checks in a row over the limit before a drain may begin."""
    min_uptime_seconds: float = 60.0
    min_available: int = 1
    """Other workers of the pool that must be in service."""
    max_draining: int = 1
    drain_timeout_seconds: float = 3600.0
    on_timeout: str = "stop"
    """``stop``, ``wait`` or ``resume``."""
    cooldown_seconds: float = 0.0
    """Between the end of one drain of the pool and the beginning of the next."""
    settle_seconds: float = 10.0
    """How long a fresh process must run before it counts as in service."""
    protect_jobs: tuple[str, ...] = ()
    """Globs over the class names of jobs that no drain may begin on or time out on."""
    redis: str | None = field(default=None, repr=False)
    """URL of the Redis that holds the workers' own records; None: there is none."""
    key_namespace: str = ""
    """What the framework puts before its keys; empty for nothing."""
    kind_values: Mapping[str, Any] = field(default_factory=dict)
    """Every key of the kind's own, parsed or by default."""


@dataclass(frozen=True)
class Config:
    """The ``[memkill]`` section, and all pools."""

    host: str
    """The name of this supervisord among the others."""
    redis: str | None = field(default=None, repr=False)
    """URL of the Redis that coordinates; None: this supervisord alone, in process."""
    key_prefix: str = "memkill"
    heartbeat_seconds: float = 10.0
    slot_ttl_seconds: float = 60.0
    poll_interval_seconds: float = 1.0
    journal: Path | None = None
    """Absolute; None: a file of its own, chosen by the journal."""
    dry_run: bool = False
    log_level: str = "info"
    pools: tuple[PoolConfig, ...] = ()
    """In the order of their sections."""


def _parse_redis(text: str) -> str:
    redis_url.check(text)
    return text


def _parse_name(text: str) -> str:
    """A part of a worker's id or of a Redis key."""
    if not re.fullmatch(r"[^\s/{}]+", text):
        raise ValueError("a name without white space, slashes and braces")
    return text


def _parse_namespace(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError("a text without white space")
    return text


def _parse_path(text: str) -> Path:
    if not Path(text).is_absolute():
        raise ValueError("an absolute path (%(here)s stands for this file's directory)")
    if not Path(text).name or "\0" in text:
        raise ValueError("the path of a file")
    return Path(text)


def _parse_children(text: str) -> bool | None:
    if text.strip().lower() == "auto":
        return None
    try:
        return parse_yes_no(text)
    except ValueError:
        raise ValueError("auto, yes or no") from None


GLOBAL_KEYS: Mapping[str, Option] = {
    "redis": Option(
        _parse_redis,
        Config.redis,
        f"URL of the Redis through which listeners coordinate; by default {REDIS_VARIABLE} of the"
        " environment, else none: this supervisord alone is coordinated",
    ),
    "key_prefix": Option(_parse_name, Config.key_prefix, "what every Redis key begins with"),
    "host": Option(
        _parse_name, None, "the name of this supervisord among the others; by default the machine's"
    ),
    "heartbeat": Option(
        parse_positive_duration, Config.heartbeat_seconds, "how often the pool is told of the workers here"
    ),
    "slot_ttl": Option(
        parse_positive_duration,
        Config.slot_ttl_seconds,
        f"how long a dead host keeps its slot; at least {SLOT_TTL_HEARTBEATS} heartbeats",
    ),
    "poll_interval": Option(
        parse_positive_duration, Config.poll_interval_seconds, "how often a draining worker is looked at"
    ),
    "journal": Option(
        _parse_path,
        Config.journal,
        "the file that drains under way are kept in; by default one in a directory of the listener's own",
    ),
    "dry_run": Option(parse_yes_no, Config.dry_run, "log what would be done, and do nothing"),
    "log_level": Option(
        parse_choice("debug", "info", "warning", "error"), Config.log_level, "debug, info, warning or error"
    ),
}
"""The keys of ``[memkill]``, all optional."""

POOL_KEYS: Mapping[str, Option] = {
    "programs": Option(
        parse_words, None, "globs over group:name and group, by default NAME; spaces or commas between them"
    ),
    "worker": Option(str.strip, PoolConfig.worker, "what kind of worker it is"),
    "max_rss": Option(parse_size, None, "the limit: bytes (200MB, 1.5GB) or a share of the memory (80%)"),
    "hard_max_rss": Option(
        parse_size, PoolConfig.hard_max_rss, "the limit above which a drain waits for no job; none by default"
    ),
    "measure": Option(
        parse_choice("rss", "pss", "uss"),
        PoolConfig.measure,
        "which memory counts: rss, pss or uss; by default rss, or the kind's",
    ),
    "children": Option(
        _parse_children,
        PoolConfig.children,
        "whether the children's memory counts: auto (the kind knows), yes or no",
    ),
    "strikes": Option(
        parse_whole(1), PoolConfig.strikes, "checks in a row over the limit before a drain may begin"
    ),
    "min_uptime": Option(
        parse_duration, PoolConfig.min_uptime_seconds, "how long a process is left alone after its start"
    ),
    "min_available": Option(
        parse_whole(0), PoolConfig.min_available, "other workers of the pool that must be in service"
    ),
    "max_draining": Option(
        parse_whole(1), PoolConfig.max_draining, "workers of the pool that may drain at once"
    ),
    "drain_timeout": Option(
        parse_positive_duration,
        PoolConfig.drain_timeout_seconds,
        "how long a drain waits for the jobs in hand",
    ),
    "on_timeout": Option(
        parse_choice("stop", "wait", "resume"),
        PoolConfig.on_timeout,
        "what follows drain_timeout: stop, wait or resume",
    ),
    "cooldown": Option(
        parse_duration, PoolConfig.cooldown_seconds, "how long the pool rests after each drain"
    ),
    "settle": Option(
        parse_duration,
        PoolConfig.settle_seconds,
        "how long a fresh process must run before it counts as in service",
    ),
    "protect_jobs": Option(
        parse_words, PoolConfig.protect_jobs, "globs over the classes of jobs that are never cut short"
    ),
    "redis": Option(
        _parse_redis,
        PoolConfig.redis,
        "URL of the Redis that holds the workers' own records; by default the one of [memkill]",
    ),
    "key_namespace": Option(
        _parse_namespace,
        PoolConfig.key_namespace,
        "what the framework puts before its keys: Sidekiq's redis-namespace, RQ's prefix",
    ),
}
"""The keys that every ``[memkill:NAME]`` has. All but `REQUIRED` are optional."""

REQUIRED = "max_rss"

_HOLE = re.compile(r"%\([^)]*\)s?")
_SECRET = re.compile("pass|secret|token")


def load(
    reading: Reading, environ: Mapping[str, str], hostname: str, kinds: Callable[[str], type[Kind]]
) -> Config:
    """The checked configuration.

    `hostname` is the default of `host`; `kinds` finds a kind's class by its name and raises
    MemkillError. Raises ConfigError with every problem that the files have, one line each.
    """
    problems = [*reading.problems, *_misspelt_sections(reading)]
    values = _load_global(reading, environ, problems)
    pools = [
        _load_pool(section, values["redis"], kinds, problems)
        for section in reading.sections
        if section.name != SECTION
    ]
    if problems:
        raise ConfigError(problems)
    return Config(
        host=values["host"] or hostname,
        redis=values["redis"],
        key_prefix=values["key_prefix"],
        heartbeat_seconds=values["heartbeat"],
        slot_ttl_seconds=values["slot_ttl"],
        poll_interval_seconds=values["poll_interval"],
        journal=values["journal"],
        dry_run=values["dry_run"],
        log_level=values["log_level"],
        pools=tuple(pools),
    )


def _load_global(reading: Reading, environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """The value of every global key. What was given and is bad stays as text, for `problems` tells of it."""
    section = next((section for section in reading.sections if section.name == SECTION), None)
    entries = section.entries if section else ()
    found = [
        _problem(SECTION, entry, _unknown_key(entry.key, GLOBAL_KEYS, POOL_KEYS, "a pool, [memkill:NAME]"))
        for entry in entries
        if entry.key not in GLOBAL_KEYS
    ]
    values = _values(SECTION, entries, GLOBAL_KEYS, found)
    if not any(entry.key == "redis" for entry in entries):
        values["redis"] = _redis_of_environment(environ, found)
    if not found and values["slot_ttl"] < SLOT_TTL_HEARTBEATS * values["heartbeat"]:
        culprit = next(entry for entry in entries if entry.key in ("slot_ttl", "heartbeat"))
        found.append(
            _problem(SECTION, culprit, f"slot_ttl must be at least {SLOT_TTL_HEARTBEATS} times heartbeat")
        )
    problems.extend(found)
    return values


def _redis_of_environment(environ: Mapping[str, str], problems: list[str]) -> str | None:
    url = environ.get(REDIS_VARIABLE, "").strip()
    if not url:
        return None
    try:
        redis_url.check(url)
    except ValueError as error:
        problems.append(f"environment: {REDIS_VARIABLE} = {redis_url.masked(url)!r}: must be {error}")
    return url


def _load_pool(
    section: Section, main_redis: str | None, kinds: Callable[[str], type[Kind]], problems: list[str]
) -> PoolConfig:
    name = section.name.removeprefix(f"{SECTION}:")
    found: list[str] = []
    if not re.fullmatch(r"[^\s{}]+", name):
        found.append(
            f"{section.place}: [{section.name}]: must be [memkill:NAME], NAME without white space and braces"
        )
    kind = _load_kind(section, kinds, found)
    found.extend(_unknown_pool_keys(section, kind))
    values = _values(section.name, section.entries, POOL_KEYS, found)
    values["programs"] = values["programs"] or (name,)
    values["redis"] = values["redis"] or main_redis
    kind_values = _values(section.name, section.entries, kind.options, found) if kind else {}
    if section.get(REQUIRED) is None:
        found.append(f"{section.place}: [{section.name}] {REQUIRED} is missing: {POOL_KEYS[REQUIRED].help}")
    if kind and not found:  # what does not parse cannot be compared
        found.extend(_contradictions(section, kind, values, kind_values))
    problems.extend(found)
    return PoolConfig(
        name=name,
        programs=values["programs"],
        worker=values["worker"],
        max_rss=values["max_rss"],
        hard_max_rss=values["hard_max_rss"],
        measure=values["measure"],
        children=values["children"],
        strikes=values["strikes"],
        min_uptime_seconds=values["min_uptime"],
        min_available=values["min_available"],
        max_draining=values["max_draining"],
        drain_timeout_seconds=values["drain_timeout"],
        on_timeout=values["on_timeout"],
        cooldown_seconds=values["cooldown"],
        settle_seconds=values["settle"],
        protect_jobs=values["protect_jobs"],
        redis=values["redis"],
        key_namespace=values["key_namespace"],
        kind_values=kind_values,
    )


def _load_kind(
    section: Section, kinds: Callable[[str], type[Kind]], problems: list[str]
) -> type[Kind] | None:
    """The kind's class; None, with a problem, where there is none to be had."""
    entry = next((entry for entry in section.entries if entry.key == "worker"), None)
    try:
        return kinds(entry.value.strip() if entry and entry.value else PoolConfig.worker)
    except MemkillError as error:
        where = _where(section.name, entry) if entry else f"{section.place}: [{section.name}] worker"
        problems.append(f"{where}: {error}")
        return None


def _contradictions(
    section: Section, kind: type[Kind], values: Mapping[str, Any], kind_values: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong with values that are each right."""
    where = f"{section.place}: [{section.name}]"
    if _is_above(values["max_rss"], values["hard_max_rss"]):
        yield f"{where} hard_max_rss must be above max_rss"
    traits = kind.traits_for(kind_values)
    if values["protect_jobs"] and not traits.names_jobs:
        yield f"{where} protect_jobs: worker = {values['worker']} cannot tell which jobs run"
    if values["on_timeout"] == "resume" and not traits.can_resume:
        yield f"{where} on_timeout = resume: worker = {values['worker']} cannot be resumed; stop or wait"
    if values["on_timeout"] == "wait" and not traits.quiets:
        yield (
            f"{where} on_timeout = wait: worker = {values['worker']} drains by its stop, and supervisord"
            " waits no longer than stopwaitsecs"
        )
    if kind.needs_redis and not values["redis"]:
        yield (
            f"{where} worker = {values['worker']} needs redis, here, in [memkill], or as {REDIS_VARIABLE}"
            " in the environment"
        )
    for problem in kind.problems({**kind_values, "redis": values["redis"]}):
        yield f"{where} {problem}"


def _is_above(soft: Size, hard: Size | None) -> bool:
    """Whether the soft limit is not below the hard one, as far as can be told without a machine."""
    if hard is None:
        return False
    if soft.percent is not None and hard.percent is not None:
        return soft.percent >= hard.percent
    if soft.exact_bytes is not None and hard.exact_bytes is not None:
        return soft.exact_bytes >= hard.exact_bytes
    return False


def _values(
    section: str, entries: Iterable[Entry], keys: Mapping[str, Option], problems: list[str]
) -> dict[str, Any]:
    """The value of each of `keys`, parsed or by default; what does not parse stays as text."""
    values = {key: option.default for key, option in keys.items()}
    for entry in entries:
        if entry.key in keys:
            try:
                values[entry.key] = _parse(entry, keys)
            except ValueError as error:
                values[entry.key] = entry.value
                told = str(error).replace(entry.value, _shown(entry)) if entry.value else str(error)
                problems.append(_problem(section, entry, told))
    return values


def _parse(entry: Entry, keys: Mapping[str, Option]) -> Any:
    """The parsed value. Raises ValueError in a whole phrase."""
    if not entry.value.strip():
        raise ValueError("has no value; leave the key out for its default")
    hole = _HOLE.search(entry.value)
    if hole and (keys is GLOBAL_KEYS or keys is POOL_KEYS):
        raise ValueError(
            f"only %(here)s is filled in, not {hole[0]};"
            f" the environment variable {REDIS_VARIABLE} can hold the URL of [memkill] redis"
        )
    try:
        return keys[entry.key].parse(entry.value)
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


def _unknown_pool_keys(section: Section, kind: type[Kind] | None) -> Iterator[str]:
    known = {**POOL_KEYS, **(kind.options if kind else {})}
    for entry in section.entries:
        # of a kind that could not be loaded nobody knows the keys: only plain slips are told
        if entry.key not in known and (kind or difflib.get_close_matches(entry.key, known, cutoff=0.8)):
            text = _unknown_key(entry.key, known, GLOBAL_KEYS, f"[{SECTION}]")
            yield _problem(section.name, entry, text)


def _unknown_key(key: str, known: Iterable[str], elsewhere: Collection[str], place: str) -> str:
    if key in elsewhere:
        return f"belongs in {place}"
    near = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key (known: {', '.join(known)})"


def _misspelt_sections(reading: Reading) -> Iterator[str]:
    """Sections that are nobody's and look like ours: supervisord would pass over them in silence."""
    for name, place in reading.others:
        head, colon, rest = name.partition(":")
        meant = f"{SECTION}{colon}{rest.strip()}"
        if other := re.fullmatch(rf"{SECTION}[\s.=/_-]+([^\s:].*)", name.strip(), re.IGNORECASE):
            meant = f"{SECTION}:{other[1]}"
        if other or difflib.SequenceMatcher(None, head.strip().lower(), SECTION).ratio() >= 0.8:
            yield f"{place}: [{name}]: unknown section, did you mean [{meant}]?"


def _problem(section: str, entry: Entry, text: str) -> str:
    return f"{_where(section, entry)}: {text}"


def _where(section: str, entry: Entry) -> str:
    return f"{entry.place}: [{section}] {entry.key} = {_shown(entry)!r}"


def _shown(entry: Entry) -> str:
    """The value without whatever may be a password in it."""
    return "***" if _SECRET.search(entry.key) else redis_url.masked(entry.value)
