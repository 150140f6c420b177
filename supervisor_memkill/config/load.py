"""Reads the sections of the configuration into checked values, and finds every problem that they have."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_memkill.config import ini, redis_file
from supervisor_memkill.config.ini import Entry, Section
from supervisor_memkill.config.options import (
    EXTRAS,
    GLOBAL_KEYS,
    NOTIFY_VARIABLE,
    POOL_KEYS,
    REDIS_VARIABLE,
    REQUIRED,
    SLOT_TTL_HEARTBEATS,
    Config,
    PoolConfig,
)
from supervisor_memkill.config.sections import SECTION, ParsedFiles
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.notices.secret_urls import parse_urls
from supervisor_memkill.rules.decision import OnTimeout
from supervisor_memkill.units import Size, format_duration
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.world import redis_client
from supervisor_memkill.world.redis_url import masked

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind

_SECRET = re.compile("pass|secret|token|transport_options|^notify$")


def _is_installed(module: str) -> bool:
    """Found without loading it."""
    return importlib.util.find_spec(module) is not None


def load(
    files: ParsedFiles,
    environ: Mapping[str, str],
    hostname: str,
    kinds: Callable[[str], type[Kind]],
    is_installed: Callable[[str], bool] = _is_installed,
) -> Config:
    """The checked configuration. Raises ConfigError with every problem that the files have, one line each.

    `hostname` is the default of `host`; `kinds` finds a kind's class by its name and raises MemkillError;
    `is_installed` knows the modules that the package's extras bring.
    """
    examined = examine(files, environ, hostname, kinds, is_installed)
    if examined.problems:
        raise ConfigError(examined.problems)
    return examined.config


@dataclass(frozen=True)
class Examined:
    """A configuration that may have problems."""

    config: Config
    """Without the pools that have a problem, and with the default in place of a wrong value of [memkill]."""
    problems: tuple[str, ...]
    """Every problem, one line each."""


def examine(
    files: ParsedFiles,
    environ: Mapping[str, str],
    hostname: str,
    kinds: Callable[[str], type[Kind]],
    is_installed: Callable[[str], bool] = _is_installed,
) -> Examined:
    """What is sound in the files, and all that is not; arguments as for `load`."""
    problems = [*files.problems, *_misspelt_sections(files)]
    names = {"host_node_name": hostname, **ini.environment_names(environ)}
    values, wrong = _load_global(files, environ, names, problems)
    for key, problem in _without_extra(values, is_installed):
        if key not in wrong:
            problems.append(problem)
            wrong.add(key)
    pools = []
    for section in files.sections:
        if section.name == SECTION:
            continue
        before = len(problems)
        pool = _load_pool(section, values["redis"], names, kinds, problems)
        if len(problems) == before and not ("redis" in wrong and pool.redis == values["redis"]):
            pools.append(pool)
    values |= {key: GLOBAL_KEYS[key].default for key in wrong}
    return Examined(_config(values, hostname, pools), tuple(problems))


def _config(values: Mapping[str, Any], hostname: str, pools: Iterable[PoolConfig]) -> Config:
    return Config(
        host=values["host"] or hostname,
        redis=values["redis"],
        redis_file=values["redis_file"],
        key_prefix=values["key_prefix"],
        heartbeat_seconds=values["heartbeat"],
        slot_ttl_seconds=values["slot_ttl"],
        poll_interval_seconds=values["poll_interval"],
        min_free=values["min_free"],
        journal=values["journal"],
        dry_run=values["dry_run"],
        log_level=values["log_level"],
        hook=values["hook"],
        hook_events=values["hook_events"],
        hook_timeout_seconds=values["hook_timeout"],
        notify=values["notify"],
        notify_events=values["notify_events"],
        metrics_textfile=values["metrics_textfile"],
        metrics_listen=values["metrics_listen"],
        pools=tuple(pools),
    )


def _load_global(
    files: ParsedFiles, environ: Mapping[str, str], names: Mapping[str, str], problems: list[str]
) -> tuple[dict[str, Any], set[str]]:
    """The value of every global key, and the keys whose value is wrong and stays as text."""
    section = next((section for section in files.sections if section.name == SECTION), None)
    entries = section.entries if section else ()
    found = [
        _problem(SECTION, entry, _unknown_key(entry.key, GLOBAL_KEYS, POOL_KEYS, "a pool, [memkill:NAME]"))
        for entry in entries
        if entry.key not in GLOBAL_KEYS
    ]
    wrong = set[str]()
    values = _values(SECTION, entries, GLOBAL_KEYS, names, found, wrong)
    before = len(found)
    if not _read_redis_file(SECTION, entries, values, found):
        values["redis"] = _redis_of_environment(environ, found)
    if len(found) > before:
        wrong.add("redis")
    if not any(entry.key == "notify" for entry in entries):
        values["notify"] = _notify_of_environment(environ, found)
    if section and not wrong & {"slot_ttl", "heartbeat"}:
        found.extend(_too_short_lease(section, values))
    problems.extend(found)
    return values, wrong


def _without_extra(
    values: Mapping[str, Any], is_installed: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Keys that need an extra of the package that is not installed, each with what to do."""
    for key, (module, extra) in EXTRAS.items():
        if values[key] and not is_installed(module):
            yield key, f"[{SECTION}] {key} needs {module}: install supervisor-memkill[{extra}]"


def _notify_of_environment(environ: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    urls = environ.get(NOTIFY_VARIABLE, "").strip()
    try:
        if ini.is_mangled(urls):  # not shown: it holds supervisord's whole environment
            problems.append(f"environment: {NOTIFY_VARIABLE}: {ini.DOUBLE_PERCENT}")
            return ()
        return parse_urls(urls) if urls else ()
    except ValueError as error:
        problems.append(f"environment: {NOTIFY_VARIABLE} = '***': must be {error}")
        return ()


def _too_short_lease(section: Section, values: Mapping[str, Any]) -> Iterator[str]:
    if values["slot_ttl"] < (least := SLOT_TTL_HEARTBEATS * values["heartbeat"]):
        yield (
            f"{_at(section, 'slot_ttl', 'heartbeat')}: slot_ttl ({format_duration(values['slot_ttl'])})"
            f" must be at least {SLOT_TTL_HEARTBEATS} times heartbeat ({format_duration(least)})"
        )


def _redis_of_environment(environ: Mapping[str, str], problems: list[str]) -> str | None:
    url = environ.get(REDIS_VARIABLE, "").strip()
    if not url:
        return None
    if ini.is_mangled(url):  # not shown: it holds supervisord's whole environment
        problems.append(f"environment: {REDIS_VARIABLE}: {ini.MANGLED}")
        return url
    try:
        redis_client.check(url)
    except ValueError as error:
        problems.append(f"environment: {REDIS_VARIABLE} = {masked(url)!r}: must be {error}")
    return url


def _read_redis_file(
    section: str, entries: Iterable[Entry], values: dict[str, Any], problems: list[str]
) -> bool:
    """Put the URL that ``redis_file`` holds into the values; whether the section has either key."""
    given = {entry.key: entry for entry in entries if entry.key in ("redis", "redis_file")}
    entry = given.get("redis_file")
    if entry and "redis" in given:
        problems.append(_problem(section, entry, f"redis stands at {given['redis'].place}: keep one"))
    elif entry and isinstance(values["redis_file"], Path):
        try:
            values["redis"] = redis_file.read(values["redis_file"], os.geteuid())
        except ValueError as error:
            values["redis"] = entry.value
            problems.append(_problem(section, entry, str(error)))
    return bool(given)


def _load_pool(
    section: Section,
    main_redis: str | None,
    names: Mapping[str, str],
    kinds: Callable[[str], type[Kind]],
    problems: list[str],
) -> PoolConfig:
    name = section.name.removeprefix(f"{SECTION}:")
    found: list[str] = []
    if not re.fullmatch(r"[^\s{}]+", name):
        found.append(
            f"{section.place}: [{section.name}]: must be [memkill:NAME], NAME without white space and braces"
        )
    kind = _load_kind(section, names, kinds, found)
    found.extend(_unknown_pool_keys(section, kind))
    wrong = set[str]()
    values = _values(section.name, section.entries, POOL_KEYS, names, found, wrong)
    _read_redis_file(section.name, section.entries, values, found)
    values["programs"] = values["programs"] or (name,)
    values["redis"] = values["redis"] or main_redis
    kind_values = _values(section.name, section.entries, kind.options, names, found, wrong) if kind else {}
    if section.get(REQUIRED) is None:
        found.append(f"{section.place}: [{section.name}] {REQUIRED} is missing: {POOL_KEYS[REQUIRED].help}")
    if _is_above(values["max_rss"], values["hard_max_rss"]):
        found.append(f"{_at(section, 'hard_max_rss')}: must be above max_rss")
    if kind and not wrong & kind.options.keys():  # what does not parse cannot be compared
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
        max_age_seconds=values["max_age"],
        yields=values["yields"],
        max_total_rss=values["max_total_rss"],
        warn_rss=values["warn_rss"],
        drain_hours=values["drain_hours"],
        settle_seconds=values["settle"],
        protect_jobs=values["protect_jobs"],
        redis=values["redis"],
        redis_file=values["redis_file"],
        key_namespace=values["key_namespace"],
        kind_values=kind_values,
    )


def _load_kind(
    section: Section, names: Mapping[str, str], kinds: Callable[[str], type[Kind]], problems: list[str]
) -> type[Kind] | None:
    """The class of the kind; None, with a problem, if it cannot be loaded."""
    entry = next((entry for entry in section.entries if entry.key == "worker"), None)
    try:
        name = ini.fill(entry.value, names).strip() if entry and entry.value else PoolConfig.worker
    except ValueError:  # a problem of the values
        return None
    try:
        return kinds(name)
    except MemkillError as error:
        where = _where(section.name, entry) if entry else f"{section.place}: [{section.name}] worker"
        problems.append(f"{where}: {error}")
        return None


def _contradictions(
    section: Section, kind: type[Kind], values: Mapping[str, Any], kind_values: Mapping[str, Any]
) -> Iterator[str]:
    """Problems of values that are valid one by one, but not together."""
    worker = f"worker = {values['worker']}"
    traits = kind.traits_for(kind_values)
    if values["protect_jobs"] and not traits.names_jobs:
        yield f"{_at(section, 'protect_jobs')}: {worker} cannot tell which jobs run"
    if values["on_timeout"] is OnTimeout.RESUME and not traits.can_resume:
        yield f"{_at(section, 'on_timeout')}: {worker} cannot be resumed; use stop or wait"
    if values["on_timeout"] is OnTimeout.WAIT and not traits.quiets:
        yield (
            f"{_at(section, 'on_timeout')}: {worker} drains by stopping, and supervisord"
            " waits no longer than stopwaitsecs"
        )
    if kind.needs_redis and not values["redis"]:
        yield (
            f"{_at(section, 'worker')}: it needs redis, here, in [memkill], or as {REDIS_VARIABLE}"
            " in the environment, also by hand; redis_file is read by the listener and by hand"
        )
    for problem in kind.problems({**kind_values, "redis": values["redis"]}):
        named = [entry.key for entry in section.entries if re.search(rf"\b{re.escape(entry.key)}\b", problem)]
        named.sort(key=lambda key: key == "worker")  # every problem may name it
        yield f"{_at(section, *named)}: {problem}" if named else f"{_at(section)} {problem}"


def _is_above(soft: object, hard: object) -> bool:
    """Whether the soft limit is not below the hard one. A size and a percentage cannot be compared here."""
    if not isinstance(soft, Size) or not isinstance(hard, Size):
        return False  # not set, or wrong
    if soft.percent is not None and hard.percent is not None:
        return soft.percent >= hard.percent
    if soft.exact_bytes is not None and hard.exact_bytes is not None:
        return soft.exact_bytes >= hard.exact_bytes
    return False


def _values(
    section: str,
    entries: Iterable[Entry],
    keys: Mapping[str, Option],
    names: Mapping[str, str],
    problems: list[str],
    wrong: set[str],
) -> dict[str, Any]:
    """The value of each of `keys`, parsed or by default; an invalid one stays as text, and is in `wrong`."""
    values = {key: option.default for key, option in keys.items()}
    for entry in entries:
        if entry.key in keys:
            filled = ""
            try:
                filled = ini.fill(entry.value, names, keeps_other_names=_has_own_names(keys))
                values[entry.key] = _parse(filled, keys[entry.key])
            except ValueError as error:
                values[entry.key] = entry.value
                wrong.add(entry.key)
                text = str(error)
                for value in filter(None, (filled, entry.value)):
                    text = text.replace(value, _shown(entry))
                problems.append(_problem(section, entry, text))
    return values


def _has_own_names(keys: Mapping[str, Option]) -> bool:
    """A kind's own options may have names of their own, such as ``%(pid)s``; the kind refuses others."""
    return keys is not GLOBAL_KEYS and keys is not POOL_KEYS


def _parse(text: str, option: Option) -> Any:
    """The parsed value. Raises ValueError in a whole phrase."""
    if not text.strip():
        raise ValueError("has no value; leave the key out for its default")
    try:
        return option.parse(text)
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


def _unknown_pool_keys(section: Section, kind: type[Kind] | None) -> Iterator[str]:
    known = {**POOL_KEYS, **(kind.options if kind else {})}
    for entry in section.entries:
        # the keys of a kind that could not be loaded are unknown: only likely typing errors are reported
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


def _misspelt_sections(files: ParsedFiles) -> Iterator[str]:
    """Other sections with names similar to ours: supervisord would ignore them silently."""
    for name, place in files.others:
        head, colon, rest = name.partition(":")
        meant = f"{SECTION}{colon}{rest.strip()}"
        if other := re.fullmatch(rf"{SECTION}[\s.=/_-]+([^\s:].*)", name.strip(), re.IGNORECASE):
            meant = f"{SECTION}:{other[1]}"
        if other or difflib.SequenceMatcher(None, head.strip().lower(), SECTION).ratio() >= 0.8:
            yield f"{place}: [{name}]: unknown section, did you mean [{meant}]?"


def _problem(section: str, entry: Entry, text: str) -> str:
    return f"{_where(section, entry)}: {text}"


def _at(section: Section, *keys: str) -> str:
    """The place of the first of these keys that the section has; without one, of the section."""
    for key in keys:
        for entry in section.entries:
            if entry.key == key:
                return _where(section.name, entry)
    return f"{section.place}: [{section.name}]"


def _where(section: str, entry: Entry) -> str:
    return f"{entry.place}: [{section}] {entry.key} = {_shown(entry)!r}"


def _shown(entry: Entry) -> str:
    """The value with passwords masked."""
    return "***" if _SECRET.search(entry.key) else masked(entry.value)
