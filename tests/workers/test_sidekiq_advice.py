"""Sidekiq: advice on settings."""

from __future__ import annotations

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.fakes import program_info
from supervisor_memkill.workers.sidekiq import advice as sidekiq_advice
from supervisor_memkill.workers.sidekiq.timeout import SidekiqStart, own_timeout


def advice_on(program: ProgramInfo) -> list[str]:
    """The sentences; none refuses a drain, which waits for the jobs before it stops anything."""
    advice = sidekiq_advice.advice_on(program, own_timeout(program.command, SidekiqStart()))
    assert not any(one.refuses for one in advice)
    return [one.text for one in advice]


@pytest.mark.parametrize(
    ("command", "stopwaitsecs", "expected"),
    [
        ("sidekiq", 10, "stopwaitsecs=10 must be above Sidekiq's default timeout"),
        ("sidekiq", 25, "such as 30"),
        ("sidekiq -t 60 -c 5", 60, "timeout on Sidekiq's command line of 60 s, such as 65"),
        ("sidekiq -t60", 30, "timeout on Sidekiq's command line of 60 s"),
        ("sidekiq --timeout=60", 30, "timeout on Sidekiq's command line of 60 s"),
        ("sidekiq --timeout 8", 10, None),
        ("sidekiq", 30, None),
    ],
)
def test_a_stop_shorter_than_sidekiqs_own_timeout_is_advised_against(
    command: str, stopwaitsecs: int, expected: str | None
) -> None:
    advice = advice_on(program_info(command, stopwaitsecs))
    assert [expected in sentence for sentence in advice if expected] == ([True] if expected else [])
    assert len(advice) == (1 if expected else 0)


@pytest.mark.parametrize(
    ("command", "wrapped"),
    [
        ("bash -lc 'cd /srv/app && bundle exec sidekiq'", True),
        ("/bin/sh -c 'sidekiq; true'", True),
        ("sh -c 'exec bundle exec sidekiq'", False),
        ("bash -c 'cd /srv/app && exec bundle exec sidekiq'", False),
        ("bundle exec sidekiq", False),
        ("sh start.sh", False),
        ("sh", False),
        ("sh -c 'unbalanced", False),
    ],
)
def test_a_shell_without_exec_is_advised_against(command: str, wrapped: bool) -> None:
    advice = advice_on(program_info(command))
    assert any("without exec" in sentence for sentence in advice) == wrapped


def test_a_wrapper_without_killasgroup_and_another_stopsignal_are_advised_against() -> None:
    (wrapper,) = advice_on(program_info("sh -c 'sidekiq; true'", killasgroup=False))
    assert "killasgroup" in wrapper
    (signal,) = advice_on(program_info("sidekiq", stopsignal=3))
    assert "stopsignal=QUIT must be INT or TERM" in signal
