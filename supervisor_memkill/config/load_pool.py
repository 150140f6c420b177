"""Reads one ``[memkill:NAME]`` section into its checked values."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from supervisor_memkill.config import ini
from supervisor_memkill.config.entries import (
    entry_place,
    place_of,
    problem_of,
    read_redis_file,
    read_values,
    unknown_key,
)
from supervisor_memkill.config.ini import Section
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, REDIS_VARIABLE, REQUIRED
from supervisor_memkill.config.sections import SECTION
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size
from supervisor_memkill.workers import registry

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind


def load_pool(
    section: Section,
    main_redis: str | None,
    names: Mapping[str, str],
    kinds: Callable[[str], type[Kind]],
    problems: list[str],
) -> PoolConfig:
    """The values of one pool; those with a problem stay as text, and the problem is appended."""
    name = section.name.removeprefix(f"{SECTION}:")
    found: list[str] = []
    if not re.fullmatch(r"[^\s{}]+", name):
        found.append(
            f"{section.place}: [{section.name}]: must be [memkill:NAME], NAME without white space and braces"
        )
    kind = _load_kind(section, names, kinds, found)
    found.extend(_unknown_pool_keys(section, kind, kinds))
    wrong = set[str]()
    values = read_values(section.name, section.entries, POOL_KEYS, names, found, wrong)
    read_redis_file(section.name, section.entries, values, found)
    values["programs"] = values["programs"] or (name,)
    values["redis"] = values["redis"] or main_redis
    kind_values = (
        read_values(section.name, section.entries, kind.options, names, found, wrong) if kind else {}
    )
    if section.get(REQUIRED) is None:
        found.append(
            f"{section.place}: [{section.name}] {REQUIRED} is missing: write {REQUIRED} = SIZE, such as 500MB"
            " or 1.5GB, or 80% (of this machine's memory); a worker that uses more is drained"
        )
    if _is_above(values["max_rss"], values["hard_max_rss"]):
        found.append(f"{place_of(section, 'hard_max_rss')}: must be above max_rss")
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
        before_stop=values["before_stop"],
        before_stop_timeout_seconds=values["before_stop_timeout"],
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
        where = entry_place(section.name, entry) if entry else f"{section.place}: [{section.name}] worker"
        problems.append(f"{where}: {error}")
        return None


def _contradictions(
    section: Section, kind: type[Kind], values: Mapping[str, Any], kind_values: Mapping[str, Any]
) -> Iterator[str]:
    """Problems of values that are valid one by one, but not together."""
    worker = f"worker = {values['worker']}"
    traits = kind.traits_for(kind_values)
    if values["protect_jobs"] and not traits.names_jobs:
        yield f"{place_of(section, 'protect_jobs')}: {worker} cannot tell which jobs run"
    if values["on_timeout"] is OnTimeout.RESUME and not traits.can_resume:
        yield f"{place_of(section, 'on_timeout')}: {worker} cannot be resumed; use stop or wait"
    if values["on_timeout"] is OnTimeout.WAIT and not traits.quiets:
        yield (
            f"{place_of(section, 'on_timeout')}: {worker} drains by stopping, and supervisord"
            " waits no longer than stopwaitsecs"
        )
    if values["before_stop"] and not traits.quiets:
        yield (
            f"{place_of(section, 'before_stop')}: {worker} drains by stopping: there is no moment before its"
            " stop at which it is known to be idle; leave before_stop out"
        )
    if kind.needs_redis and not values["redis"]:
        yield (
            f"{place_of(section, 'worker')}: it needs redis, here, in [memkill], or as {REDIS_VARIABLE}"
            " in the environment, also by hand; redis_file is read by the listener and by hand"
        )
    for problem in kind.problems({**kind_values, "redis": values["redis"]}):
        named = [entry.key for entry in section.entries if re.search(rf"\b{re.escape(entry.key)}\b", problem)]
        named.sort(key=lambda key: key == "worker")  # every problem may name it
        yield f"{place_of(section, *named)}: {problem}" if named else f"{place_of(section)} {problem}"


def _is_above(soft: object, hard: object) -> bool:
    """Whether the soft limit is not below the hard one. A size and a percentage cannot be compared here."""
    if not isinstance(soft, Size) or not isinstance(hard, Size):
        return False  # not set, or wrong
    if soft.percent is not None and hard.percent is not None:
        return soft.percent >= hard.percent
    if soft.exact_bytes is not None and hard.exact_bytes is not None:
        return soft.exact_bytes >= hard.exact_bytes
    return False


def kinds_with(key: str, kinds: Callable[[str], type[Kind]]) -> str:
    """The kinds that have this option, as ``worker = a, b or c``; empty: none has it."""
    found: list[str] = []
    for name in registry.kinds():
        with contextlib.suppress(MemkillError):  # A broken package says nothing about this key.
            if key in kinds(name).options:
                found.append(name)
    words = " or ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))
    return f"worker = {words}" if words else ""


def _unknown_pool_keys(
    section: Section, kind: type[Kind] | None, kinds: Callable[[str], type[Kind]]
) -> Iterator[str]:
    known = {**POOL_KEYS, **(kind.options if kind else {})}
    for entry in section.entries:
        # the keys of a kind that could not be loaded are unknown: only likely typing errors are reported
        if entry.key not in known and (kind or difflib.get_close_matches(entry.key, known, cutoff=0.8)):
            owners = "" if entry.key in GLOBAL_KEYS else kinds_with(entry.key, kinds)
            text = f"{entry.key} belongs to {owners}"
            if not owners:
                text = unknown_key(entry.key, known, GLOBAL_KEYS, f"[{SECTION}]")
            yield problem_of(section.name, entry, text)
