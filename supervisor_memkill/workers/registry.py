"""Find the class of a kind by the name in `worker = NAME`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from supervisor_memkill.errors import MemkillError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from supervisor_memkill.workers.contract import Kind

ENTRY_POINT_GROUP = "supervisor_memkill.workers"

BUILT_IN = {
    "plain": "supervisor_memkill.workers.plain:Plain",
    "custom": "supervisor_memkill.workers.custom:Custom",
    "auto": "supervisor_memkill.workers.auto:Auto",
    "sidekiq": "supervisor_memkill.workers.sidekiq.kind:Sidekiq",
    "celery": "supervisor_memkill.workers.celery.kind:Celery",
    "resque": "supervisor_memkill.workers.resque.kind:Resque",
    "rq": "supervisor_memkill.workers.rq.kind:RQ",
    "dramatiq": "supervisor_memkill.workers.dramatiq:Dramatiq",
    "huey": "supervisor_memkill.workers.huey:Huey",
    "arq": "supervisor_memkill.workers.arq:Arq",
    "taskiq": "supervisor_memkill.workers.taskiq:Taskiq",
    "laravel": "supervisor_memkill.workers.laravel:Laravel",
    "horizon": "supervisor_memkill.workers.horizon:Horizon",
    "messenger": "supervisor_memkill.workers.messenger:Messenger",
    "djangoq": "supervisor_memkill.workers.djangoq:DjangoQ",
    "delayed_job": "supervisor_memkill.workers.delayed_job:DelayedJob",
}
"""The same as the entry points of this package, but without reading the metadata of every package."""

_CONTRACT = ("options", "needs_redis", "traits_for", "problems")


def kinds() -> tuple[str, ...]:
    """The names of all installed kinds, the built-in ones first."""
    others = {entry.name for entry in _entry_points()} - BUILT_IN.keys()
    return (*BUILT_IN, *sorted(others))


def load_kind(name: str) -> type[Kind]:
    """The class of the kind `name`.

    Raises MemkillError, in one line, if no such kind is installed or if it cannot be loaded.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast("type[Kind]", getattr(importlib.import_module(module), attribute))
    entry = _entry_point(name)
    try:
        found = entry.load()
    except Exception as error:
        raise MemkillError(f"kind {name} ({entry.value}) cannot be loaded: {error!r}") from error
    missing = [attribute for attribute in _CONTRACT if not hasattr(found, attribute)]
    if missing:
        raise MemkillError(f"kind {name} ({entry.value}) is not a kind: it has no {', '.join(missing)}")
    return cast("type[Kind]", found)


def _entry_point(name: str) -> EntryPoint:
    by_target = {entry.value: entry for entry in _entry_points() if entry.name == name}
    if not by_target:
        raise MemkillError(_describe_unknown(name))
    if len(by_target) > 1:
        raise MemkillError(f"kind {name} is declared more than once: {', '.join(sorted(by_target))}")
    return next(iter(by_target.values()))


def _describe_unknown(name: str) -> str:
    known = kinds()
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"unknown kind{hint} (known: {', '.join(known)})"


def _entry_points() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # reads every installed package: only when it is needed

    return list(entry_points(group=ENTRY_POINT_GROUP))
