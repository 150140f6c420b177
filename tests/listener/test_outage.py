"""An outage is logged once when it begins and once, with its length, when it ends."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.listener.state_values import OutageState
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import CoordinationAway, CoordinationBack
from supervisor_memkill.notices.log import LogSink
from tests.listener_world import Lines

AWAY = f'coordination.away error={{}} hint="{CoordinationAway.hint}"'


def test_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    stream: Any = Lines()
    now = [100.0]
    outage = Outage(CoordinationAway, CoordinationBack, Notifier([LogSink(stream)]), lambda: now[0])
    outage.back()
    for error in ("refused", "refused", "timeout", "refused", "timeout"):
        outage.away(error)
        assert outage.is_away
    now[0] = 165.0
    outage.back()
    outage.back()
    outage.away("refused")
    assert stream.lines == [
        AWAY.format("refused"),
        AWAY.format("timeout"),
        "coordination.back after=1m05s",
        AWAY.format("refused"),
    ]


def test_state_of_an_outage_has_its_beginning_and_the_last_error() -> None:
    now = [100.0]
    outage = Outage(CoordinationAway, CoordinationBack, Notifier([]), lambda: now[0])
    states = [outage.state]
    for error in ("refused", "timeout"):
        outage.away(error)
        now[0] += 65.0
    states.append(outage.state)
    outage.back()
    states.append(outage.state)
    assert states == [None, OutageState("timeout", 100.0), None]


def test_outage_ends_when_every_part_is_back() -> None:
    stream: Any = Lines()
    outage = Outage(CoordinationAway, CoordinationBack, Notifier([LogSink(stream)]), lambda: 100.0)
    outage.away("refused", "a")
    outage.away("refused", "b")
    outage.back("a")
    assert (outage.has_lost("a"), outage.has_lost("b"), outage.is_away) == (False, True, True)
    assert stream.lines == [AWAY.format("refused")]
    outage.back("b")
    assert stream.lines[1:] == ["coordination.back after=0s"]
