"""Reads the sections of the configuration into checked values, and finds every problem that they have."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from supervisor_memkill.config import ini
from supervisor_memkill.config.entries import place_of, problem_of, read_redis_file, read_values, unknown_key
from supervisor_memkill.config.ini import Section
from supervisor_memkill.config.load_pool import kinds_with, load_pool
from supervisor_memkill.config.options import (
    EXTRAS,
    GLOBAL_KEYS,
    NOTIFY_VARIABLE,
    POOL_KEYS,
    REDIS_VARIABLE,
    SLOT_TTL_HEARTBEATS,
)
from supervisor_memkill.config.sections import SECTION, ParsedFiles
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError
from supervisor_memkill.notices.secret_urls import parse_urls
from supervisor_memkill.units import format_duration
from supervisor_memkill.world import redis_client
from supervisor_memkill.world.redis_url import masked

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind


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
    values, wrong = _load_global(files, environ, names, kinds, problems)
    for key, problem in _without_extra(values, is_installed):
        if key not in wrong:
            problems.append(problem)
            wrong.add(key)
    pools = []
    for section in files.sections:
        if section.name == SECTION:
            continue
        before = len(problems)
        pool = load_pool(section, values["redis"], names, kinds, problems)
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
    files: ParsedFiles,
    environ: Mapping[str, str],
    names: Mapping[str, str],
    kinds: Callable[[str], type[Kind]],
    problems: list[str],
) -> tuple[dict[str, Any], set[str]]:
    """The value of every global key, and the keys whose value is wrong and stays as text."""
    section = next((section for section in files.sections if section.name == SECTION), None)
    entries = section.entries if section else ()
    found = [
        problem_of(SECTION, entry, _unknown_global_key(entry.key, kinds))
        for entry in entries
        if entry.key not in GLOBAL_KEYS
    ]
    wrong = set[str]()
    values = read_values(SECTION, entries, GLOBAL_KEYS, names, found, wrong)
    before = len(found)
    if not read_redis_file(SECTION, entries, values, found):
        values["redis"] = _redis_of_environment(environ, found)
    if len(found) > before:
        wrong.add("redis")
    if not any(entry.key == "notify" for entry in entries):
        values["notify"] = _notify_of_environment(environ, found)
    if section and not wrong & {"slot_ttl", "heartbeat"}:
        found.extend(_too_short_lease(section, values))
    problems.extend(found)
    return values, wrong


def _unknown_global_key(key: str, kinds: Callable[[str], type[Kind]]) -> str:
    pool = "a pool, [memkill:NAME]"
    if key not in POOL_KEYS and (owners := kinds_with(key, kinds)):
        return f"belongs in {pool}, with {owners}"
    return unknown_key(key, GLOBAL_KEYS, POOL_KEYS, pool)


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
            f"{place_of(section, 'slot_ttl', 'heartbeat')}: slot_ttl ({format_duration(values['slot_ttl'])})"
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


def _misspelt_sections(files: ParsedFiles) -> Iterator[str]:
    """Other sections with names similar to ours: supervisord would ignore them silently."""
    for name, place in files.others:
        head, colon, rest = name.partition(":")
        meant = f"{SECTION}{colon}{rest.strip()}"
        if other := re.fullmatch(rf"{SECTION}[\s.=/_-]+([^\s:].*)", name.strip(), re.IGNORECASE):
            meant = f"{SECTION}:{other[1]}"
        if other or difflib.SequenceMatcher(None, head.strip().lower(), SECTION).ratio() >= 0.8:
            yield f"{place}: [{name}]: unknown section, did you mean [{meant}]?"
