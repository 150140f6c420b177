"""``worker = arq``: arq, drained by its own stop, and read through its health record where that is named.

What a drain stands on, tried with 0.28.0 (arq/worker.py):

- At TERM or INT arq takes no more jobs, waits for those in hand for ``job_completion_wait``, cancels the
  rest, and exits with status 0. By its default of 0 it cancels at once. A cancelled job is run again,
  from its beginning, and fails for good after ``max_tries``.
- ``job_completion_wait`` stands in the application's WorkerSettings, and nothing outside shows it: not
  the process (both ways catch the same signals), not the health record. So the pool must repeat it.
- A second signal while it waits changes nothing.
- A job cut by SIGKILL is run again after its ``job_timeout`` and 10 s.
- The health record is a text with ``j_ongoing=N``, set every ``health_check_interval`` (an hour by default)
  with a TTL one second longer, and deleted at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.units import format_duration, parse_positive_duration
from supervisor_memkill.workers.contract import Advice, Option, Reading, Target, unknown
from supervisor_memkill.workers.custom import fill, parse_template
from supervisor_memkill.workers.settings import (
    drain_advice,
    is_measured_below,
    signal_advice,
    wait_advice,
    wrapper_advice,
)
from supervisor_memkill.workers.stop_advice import limit_advice, reach_advice
from supervisor_memkill.workers.stopping import StopThenWait
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

OLD_RECORD_SECONDS = 60
"""A record that lives on for longer may itself be older than people expect of a busy count."""


class Arq(StopThenWait):
    """Knows it by its command line, and where `health_check_key` is set by a record that has not run out."""

    framework = "arq"
    program = "arq"
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        "job_completion_wait": Option(
            parse_positive_duration, None, "the same as in WorkerSettings: how long its stop waits for jobs"
        ),
        "health_check_key": Option(
            parse_template, None, "the same as in WorkerSettings: the Redis key with its busy count"
        ),
    }

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        found = []
        if values.get("job_completion_wait") is None:
            found.append(
                "worker = arq needs job_completion_wait, the same as in the application's WorkerSettings: "
                "without it there, arq cancels the jobs in hand at every stop"
            )
        if values.get("health_check_key") is not None and not values.get("redis"):
            found.append("health_check_key needs redis, and none is set")
        return found

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        readings = super().read(targets, table)
        if self._values["health_check_key"] is None:
            return readings
        template = self._values["health_check_key"]
        keys = [fill(template, target.process, self._tools.host) for target in targets]
        try:
            records = ask(self._tools.redis, lambda redis: _ask_records(redis, keys))
        except MemkillError as error:
            return {target.process.worker: unknown(str(error), target.note) for target in targets}
        found = {}
        for target, key, (text, milliseconds) in zip(targets, keys, records, strict=True):
            reading = readings[target.process.worker]
            found[target.process.worker] = _with_record(reading, key, text, milliseconds)
        return found

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """No: the jobs run in the process itself; unless that has a starter above it."""
        return is_measured_below(table.title(process.pid))

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        wait = self._values["job_completion_wait"]
        setting = f"job_completion_wait={format_duration(wait)}"
        return [
            *signal_advice(
                program, {"TERM", "INT"}, "at any other arq does not finish the jobs in hand", refuses=True
            ),
            *drain_advice(program, drain_timeout_seconds),
            *limit_advice(wait, setting, "arq", drain_timeout_seconds),
            *wait_advice(program, wait, "job_completion_wait", refuses=True),
            *reach_advice(program),
            *wrapper_advice(program, "arq", refuses=True),
        ]


def _ask_records(redis: Any, keys: Sequence[str]) -> list[tuple[object, object]]:
    """The text of each key and the milliseconds that it has left; one round trip for all."""
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.get(key)
        pipe.pttl(key)
    answers = pipe.execute()
    return list(zip(answers[::2], answers[1::2], strict=True))


def _with_record(reading: Reading, key: str, text: object, milliseconds: object) -> Reading:
    """The reading of the command line, with what the health record adds to it."""
    if reading.recognised is not True:
        return reading
    try:
        busy, is_old = _parse_record(text, milliseconds)
    except Unknown as error:
        return unknown(f"{key}: {error}", reading.note)
    if is_old:
        hint = f"{key} may be old: set health_check_interval in WorkerSettings to some seconds"
        return replace(reading, remark=hint)
    return replace(reading, busy=busy)


def _parse_record(text: object, milliseconds: object) -> tuple[int, bool]:
    """The number of jobs in hand, and whether it may be old. Raises Unknown."""
    if text is None:
        raise Unknown(
            "no health record: it is still booting, its event loop is blocked, or the key is another"
        )
    found = re.search(r"\bj_ongoing=([0-9]{1,9})\b", str(text))
    if found is None:
        raise Unknown(f"no health record of arq's: {str(text)[:40]!r}")
    if not isinstance(milliseconds, int) or milliseconds < 0:
        raise Unknown("it has no TTL, so that it may be of a process that ended")
    return int(found[1]), milliseconds > OLD_RECORD_SECONDS * 1000
