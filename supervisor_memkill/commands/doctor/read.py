"""Reads the facts for the doctor, by the same parts that the listener works with. Nothing is changed."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands.by_hand import examine_by_hand
from supervisor_memkill.commands.configuration import Configuration
from supervisor_memkill.commands.context import CLIENT_NAME, Context, build
from supervisor_memkill.commands.doctor import gather
from supervisor_memkill.commands.doctor.catalogue import failed
from supervisor_memkill.commands.doctor.facts import (
    ConfigurationFacts,
    Facts,
    ListenerFacts,
    PoolFacts,
    RedisFacts,
    SupervisordFacts,
)
from supervisor_memkill.commands.doctor.finding import Finding
from supervisor_memkill.commands.doctor.probe import probe
from supervisor_memkill.commands.found_listener import FoundListener, find_listener
from supervisor_memkill.listener import journal
from supervisor_memkill.listener.findings import Survey
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.recognition import Recognition
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.world import access, started_by
from supervisor_memkill.world.machine import memory_limit
from supervisor_memkill.world.redis_client import connect
from supervisor_memkill.world.supervisord import Refused, Supervisord, SupervisordError

T = TypeVar("T")


def read_facts(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Facts:
    """All facts about the supervisord that the arguments name. Raises MemkillError for wrong use alone."""
    configuration = examine_by_hand(arguments, environ)
    supervisord = configuration.supervisord(arguments, environ)
    return _Reader(configuration, supervisord, environ).read()


class _Reader:
    """Reads one fact after another. What fails becomes a finding, and the others are read all the same."""

    def __init__(
        self, configuration: Configuration, supervisord: Supervisord, environ: Mapping[str, str]
    ) -> None:
        config = dataclasses.replace(configuration.config, dry_run=True)
        self._configuration = dataclasses.replace(configuration, config=config)
        self._supervisord = supervisord
        # A person looks once, and wants to know at once.
        recognition = Recognition(boot_clock, booted_seconds=0, unknown_looks=1)
        self._context: Context = build(
            self._configuration, supervisord, environ, own_group="", recognition=recognition
        )
        self._failed: list[Finding] = []

    def _try(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - what else is wrong must be shown
            self._failed.append(failed(name, error))
            return otherwise

    def read(self) -> Facts:
        configuration = self._try("configuration", self._read_configuration, None)
        supervisord = self._read_supervisord()
        contents, survey = Contents(), Survey((), ())
        listener = ListenerFacts(now=boot_clock())
        if supervisord.answers:
            seen = self._try("state", lambda: find_listener(self._configuration, self._context), None)
            if seen is not None:
                contents = self._try("journal", lambda: journal.peek(seen.journal), contents)
            survey = self._try("pools", lambda: self._survey(contents), survey)
            supervisord = self._with_programs(supervisord)
            listener = self._try(
                "listener", lambda: self._read_listener(supervisord.processes, seen), listener
            )
        own_group = listener.state.origin.name.partition(":")[0] if listener.state is not None else ""
        return Facts(
            configuration=configuration or ConfigurationFacts(self._configuration.config),
            supervisord=supervisord,
            listener=listener,
            pools=self._try("pools", lambda: self._pools(survey, contents), ()),
            oddities=survey.oddities,
            rivals=tuple(self._context.surveyor.rivals(supervisord.processes, own_group)),
            redis=tuple(self._read_redis()),
            contents=contents,
            memory=self._try("memory", memory_limit, None),
            places=self._try("places", self._places, {}),
            failed=tuple(self._failed),
        )

    def _read_configuration(self) -> ConfigurationFacts:
        given = self._configuration
        return ConfigurationFacts(
            given.config,
            is_found=given.is_found,
            has_pools=any(section.name.partition(":")[1] for section in given.reading.sections)
            or bool(given.problems),
            problems=given.problems,
            unread=given.reading.unread,
            misplaced=given.misplaced,
            files=given.reading.paths,
            hook_problem=gather.why_not_executable(*given.config.hook[:1]),
        )

    def _read_supervisord(self) -> SupervisordFacts:
        supervisord = self._supervisord
        facts = SupervisordFacts(supervisord.url, sections=self._configuration.sections)
        try:
            return dataclasses.replace(
                facts,
                pid=supervisord.pid(),
                version=supervisord.version(),
                processes=tuple(supervisord.all_processes()),
            )
        except Refused as error:
            return dataclasses.replace(facts, refusal=str(error))
        except SupervisordError as error:
            return dataclasses.replace(facts, silence=str(error))

    def _survey(self, contents: Contents) -> Survey:
        if self._configuration.config.pools:
            return self._context.surveyor.check(contents)
        self._context.surveyor.learn_programs()
        return Survey((), ())

    def _with_programs(self, facts: SupervisordFacts) -> SupervisordFacts:
        programs = self._context.surveyor.programs
        return dataclasses.replace(facts, programs=tuple(programs.all()), alerts=programs.alerts)

    def _places(self) -> dict[str, str]:
        files = self._context.in_files()
        listeners = {
            f"[eventlistener:{name.partition(':')[0]}]": place
            for name, place in files.places.items()
            if name.partition(":")[0] in files.events
        }
        ours = {f"[{one.name}]": str(one.place) for one in self._configuration.reading.sections}
        return {**files.places, **listeners, **ours}

    def _pools(self, survey: Survey, contents: Contents) -> tuple[PoolFacts, ...]:
        if not survey.pools:
            return ()
        return tuple(gather.pools(survey.pools, self._context.coordinator(contents)))

    def _read_redis(self) -> list[RedisFacts]:
        """Each Redis once; that of the listeners is looked at as such."""
        config = self._configuration.config
        urls = dict.fromkeys([config.redis, *(pool.redis for pool in config.pools)])
        return [
            found
            for url in urls
            if url is not None
            and (found := self._try("redis", functools.partial(self._probe, url), None)) is not None
        ]

    def _probe(self, url: str) -> RedisFacts:
        config = self._configuration.config
        client = functools.cache(lambda: connect(url, CLIENT_NAME))
        return probe(url, client, time.time, config.key_prefix if url == config.redis else None)

    # --- the listener ---------------------------------------------------------------------------

    def _read_listener(self, processes: Sequence[ProcessInfo], seen: FoundListener | None) -> ListenerFacts:
        surveyor, sections = self._context.surveyor, self._configuration.sections
        programs, groups = surveyor.programs.all(), surveyor.listener_groups()
        facts = ListenerFacts(now=boot_clock()) if seen is None else _with_state(seen)
        known = facts.state.origin.name if facts.state is not None else ""
        found = gather.listeners(processes, programs, groups, known)
        files = self._context.in_files()
        in_files = gather.groups_in_files(files)
        uid = self._uid_of(found, in_files)
        return dataclasses.replace(
            facts,
            processes=found,
            programs=gather.misplaced(processes, programs, groups),
            in_files=in_files,
            events=files.events,
            last_lines={
                one.worker: line for one in found if (line := gather.last_line(self._supervisord, one.worker))
            },
            in_unknown_state=gather.in_unknown_state(self._supervisord, found),
            user=access.user_name(uid),
            asking_user=access.user_name(os.geteuid()),
            closed_socket=gather.closed_socket(sections, uid),
            lacks_password=not facts.is_alive and gather.lacks_password(sections, in_files),
        )

    def _uid_of(self, listeners: Sequence[ProcessInfo], groups: Sequence[str]) -> int | None:
        """The user of the listener: of its process, else by its section, else that of supervisord."""
        for process in listeners:
            if process.pid and (uid := started_by.see(process.pid).uid) is not None:
                return uid
        for group in groups:
            user = self._configuration.sections.value(f"eventlistener:{group}", "user")
            if user:
                return access.uid_of(user)
        pid = self._configuration.supervisord_pid
        return started_by.see(pid).uid if pid is not None else None


def _with_state(found: FoundListener) -> ListenerFacts:
    """What the listener itself wrote."""
    return ListenerFacts(
        state=found.state,
        is_alive=found.is_alive,
        hidden=found.problem if found.is_hidden else "",
        unreadable=found.problem if found.is_unreadable else "",
        unwritable=found.unwritable,
        changes=found.changes or (),
        now=boot_clock(),
    )
