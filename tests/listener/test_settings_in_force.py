"""Which settings of a program count as those in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from supervisor_memkill.config.supervisord_sections import StopAsGroup
from supervisor_memkill.listener.programs import Programs
from supervisor_memkill.processes import ProcessState, ProgramInfo
from tests.builders import PID, START, info


class Supervisord:
    """Reports these settings."""

    def __init__(self, **settings: Any) -> None:
        self.reported = [program(**settings)]

    def programs(self) -> list[ProgramInfo]:
        return self.reported


def program(**settings: Any) -> ProgramInfo:
    defaults: dict[str, Any] = {
        "group": "jobs",
        "name": "one",
        "command": "worker",
        "stopsignal": 15,
        "stopwaitsecs": 10,
        "killasgroup": True,
        "group_priority": 999,
    }
    return ProgramInfo(**{**defaults, **settings})


def programs_of(supervisord: Supervisord, known: Mapping[str, bool] | None = None) -> Programs:
    answers: Any = supervisord
    return Programs(answers, lambda: by_group(known or {}))


def by_group(known: Mapping[str, bool]) -> StopAsGroup:
    return lambda group, name: known.get(group)


def waits(programs: Programs) -> int:
    found = programs.of("jobs:one")
    assert found is not None
    return found.stopwaitsecs


def test_settings_of_a_running_process_stay_as_it_was_started_with() -> None:
    supervisord = Supervisord()
    programs = programs_of(supervisord, {"jobs": False})
    programs.learn([info()])
    supervisord.reported = [program(stopwaitsecs=60)]  # supervisorctl reread
    programs.learn([info()])
    assert waits(programs) == 10
    programs.learn([info(pid=PID + 1, start=START + 9)])  # supervisorctl update
    assert waits(programs) == 60


def test_unknown_stopasgroup_does_not_put_the_other_settings_of_a_reread_in_force() -> None:
    supervisord, known = Supervisord(), dict[str, bool]()
    programs = programs_of(supervisord, known)
    programs.learn([info()])
    supervisord.reported = [program(stopwaitsecs=60)]
    programs._stop_as_group = lambda: by_group({"jobs": True})
    programs.learn([info()])
    found = programs.of("jobs:one")
    assert found is not None and (found.stopwaitsecs, found.stopasgroup) == (10, True)
    programs._stop_as_group = lambda: by_group({"jobs": False})
    programs.learn([info()])
    found = programs.of("jobs:one")
    assert found is not None and found.stopasgroup is True, "known since: it stays with the process"


def test_settings_of_a_stopped_worker_are_the_latest() -> None:
    supervisord = Supervisord()
    programs = programs_of(supervisord)
    programs.learn([info(ProcessState.STOPPED)])
    supervisord.reported = [program(stopwaitsecs=60)]
    programs.learn([info(ProcessState.STOPPED)])
    assert waits(programs) == 60


def test_settings_that_are_not_reported_any_more_are_unknown() -> None:
    supervisord = Supervisord()
    programs = programs_of(supervisord)
    programs.learn([info()])
    supervisord.reported = []
    programs.learn([info()])
    assert programs.of("jobs:one") is None


@pytest.mark.parametrize(
    ("killasgroup", "known", "expected"), [(False, {}, False), (True, {}, None), (True, {"jobs": True}, True)]
)
def test_stopasgroup_is_off_without_killasgroup(
    killasgroup: bool, known: Mapping[str, bool], expected: bool | None
) -> None:
    """supervisord rejects the one without the other."""
    programs = programs_of(Supervisord(killasgroup=killasgroup), known)
    programs.learn([info()])
    found = programs.of("jobs:one")
    assert found is not None and found.stopasgroup is expected


@pytest.mark.parametrize(("priority", "expected"), [(-1, {"jobs"}), (0, set()), (999, set())])
def test_group_below_priority_0_is_one_of_event_listeners(priority: int, expected: set[str]) -> None:
    programs = programs_of(Supervisord(group_priority=priority))
    programs.learn([info()])
    assert programs.listener_groups() == expected
