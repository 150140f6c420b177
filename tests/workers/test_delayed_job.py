"""Delayed Job: recognition, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.workers.delayed_job import DelayedJob

TITLE = "ruby bin/delayed_job run"
RAKE = "/usr/bin/ruby /usr/bin/rake jobs:work"
PREFIXED = "shop/delayed_job.7"
GOOD = replace(program_info("bundle exec bin/delayed_job run", stopwaitsecs=600), stopasgroup=False)


def make(**values: object) -> DelayedJob:
    return DelayedJob({"command_has": None, **values}, tools())


def read(title: str, **values: object) -> Reading:
    return read_one(make(**values), Target(process()), FakeProcesses({100: title}).table)


def advice(program: ProgramInfo) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, 600.0)]


class TestContract(ContractSuite):
    kind = DelayedJob
    title = TITLE


@pytest.mark.parametrize("title", [TITLE, RAKE, PREFIXED, "ruby bin/rails jobs:work", "delayed_job.0"])
def test_it_is_known_however_it_is_started(title: str) -> None:
    reading = read(title)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("ruby bin/rails server", "does not contain jobs:work or delayed_job: set command_has"),
        ("sh -c rake jobs:work; true", "exec"),
    ],
)
def test_another_process_is_not(title: str, expected: str) -> None:
    reading = read(title)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert expected in reading.why


def test_command_has_takes_the_place_of_both_texts() -> None:
    assert read("ruby jobs.rb", command_has="jobs.rb").recognised is True
    assert read(TITLE, command_has="jobs.rb").recognised is False


@pytest.mark.parametrize("title", [TITLE, RAKE, PREFIXED])
def test_its_memory_is_its_own_unless_a_wrapper_is_in_front(title: str) -> None:
    """What a job has started does not count."""
    kind = make()
    busy = FakeProcesses({100: title, 101: "convert a.png"}, children={101: 100})
    wrapped = FakeProcesses({100: f"tini -- {title}", 101: title}, children={101: 100})
    assert not kind.memory_in_children(process(), busy.table)
    assert kind.memory_in_children(process(), wrapped.table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "rss")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stopsignal": signal.SIGINT},
        {"killasgroup": False},
        {"command": "rake jobs:work"},
        {"command": "nice -n 5 bin/delayed_job run"},
        {"command": "bin/delayed_job -n 1 --queues=mail,default run"},
        {"command": "bin/delayed_job -n1 run"},
        {"command": "bin/delayed_job --number_of_workers=1 run"},
        {"command": "bin/delayed_job --pool=mail:1 run"},
        {"command": "bin/delayed_job --pool mail,default:1 run"},
        {"command": "bin/delayed_job --pool=mail run"},
        {"command": "bin/delayed_job --pool='*' run"},
        {"command": 'bin/delayed_job "--pool=*:1" run'},
        {"command": "bin/delayed_job --poo=mail:1 run"},
        {"command": "sh -c 'exec bin/delayed_job run --pool=mail:1'"},
    ],
)
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": signal.SIGQUIT}, "stopsignal=QUIT must be INT or TERM: at any other signal"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=10m00s"),
        ({"command": "bin/delayed_job start"}, "run `delayed_job run` instead"),
        ({"command": "bin/delayed_job -i 1 restart"}, "run `delayed_job run` instead"),
        ({"command": "bin/delayed_job -n 2 run"}, "run several workers one after the other"),
        ({"command": "bin/delayed_job -n2 run"}, "run several workers one after the other"),
        ({"command": "bin/delayed_job --number_of_workers=3 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:1 --pool=*:2 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:2 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool mail:2 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:1 --pool=bulk:1 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail --pool bulk run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:11 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:0 run"}, "one after the other"),
        ({"command": "bin/delayed_job --pool=mail:one run"}, "one after the other"),
        ({"command": "bin/delayed_job --po=mail:2 run"}, "one after the other"),
        ({"command": "bin/delayed_job '--pool=*:2' run"}, "one after the other"),
        ({"command": "bin/delayed_job -n 2 --pool=mail:1 run"}, "one after the other"),
        ({"command": "bin/delayed_job -n 1 --pool=mail:2 run"}, "one after the other"),
        ({"command": "bin/delayed_job -n 2x run"}, "one after the other"),
        ({"command": "bin/delayed_job --num 2 run"}, "one after the other"),
        ({"command": "sh -c 'exec bin/delayed_job run --pool=mail:2'"}, "one after the other"),
        ({"command": "sh -c 'rake jobs:work; true'"}, "a shell without exec"),
        ({"command": "sudo -u app rake jobs:work"}, "does not pass the stop signal unchanged"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


def test_a_group_that_gets_the_stop_signal_gives_a_hint() -> None:
    ((text, refuses),) = advice(replace(GOOD, stopasgroup=True))
    assert "processes that running jobs have started" in text and not refuses
