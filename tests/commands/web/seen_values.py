"""What a page may show, of the tests' own making."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from supervisor_memkill.commands.fleet_status import fleet_pool, problems
from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.commands.history_values import Shown, Wanted, shown
from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.suspects_values import shown as suspects_shown
from supervisor_memkill.commands.web.page import page
from supervisor_memkill.commands.web.read import Seen
from supervisor_memkill.listener.interval_file import Intervals
from tests.commands.observed import Made
from tests.commands.status_values import NOW, PAUSE, REQUEST, found, listener
from tests.commands.test_fleet_status import VIEW
from tests.commands.web.document import Document
from tests.notices.record_values import drain, held, killed

AT = 1_796_000_400.0
RECORDS = (
    drain(),
    held(worker="sidekiq:sidekiq_3"),
    killed(worker="sidekiq:sidekiq_1", at=AT - 200, cause="drain_timeout"),
)
"""The oldest first."""


SUSPECTS = suspects_shown(
    [*Made({"Report": 60.0}, counts_runs=True).observe(), *Made().observe(2, "quiet")],
    ["jobs", "other", "quiet"],
).with_notes(Path("x"), Intervals())


def history(*records: Any, is_fleet: bool = False) -> Shown:
    return shown(records or RECORDS, Wanted(since=AT - 7 * 86400), is_fleet=is_fleet)


def seen(made: FoundListener | None = None, **values: Any) -> Seen:
    """By default much goes on: a drain, a worker that waits, a pause, a request, past drains."""
    status = status_of(made or found(listener(requests=(REQUEST,), pauses=(PAUSE,))), NOW)
    return Seen(**{"at": AT, "status": status, "history": history(), **values})


def seen_fleet() -> Seen:
    """The same with all hosts."""
    pool = fleet_pool("sidekiq", VIEW)
    one = seen()
    assert one.status is not None
    status = dataclasses.replace(one.status, fleet=(pool,), problems=tuple(problems(pool)))
    return seen(status=status, fleet_history=history(is_fleet=True), suspects=SUSPECTS)


def document(one: Seen | None = None) -> Document:
    return Document(page(one or seen()))
