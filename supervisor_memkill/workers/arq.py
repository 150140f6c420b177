"""``worker = arq``: arq, drained by stopping, with a busy count from its health record if that is configured.

Facts, tried with 0.28.0 (arq/worker.py):

- At TERM or INT arq takes no more jobs, waits for the running ones for ``job_completion_wait``, cancels the
  rest, and exits with status 0. By default it waits for 0 s and cancels at once. A cancelled job is run
  again, from its beginning, and fails for good after ``max_tries``.
- ``job_completion_wait`` is in the application's WorkerSettings, and nothing outside shows it: not the
  process (it catches the same signals with every value), not the health record. So the pool must repeat it.
- A second signal while arq waits changes nothing.
- ``arq --watch`` stops in the same way. When a file changes, it cancels the running jobs and runs them again.
- A job that SIGKILL cuts is run again after its ``job_timeout`` and 10 s.
- The health record is a text with ``j_ongoing=N``. arq writes it every ``health_check_interval`` (by default
  every hour) with a TTL one second longer, and deletes it at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.units import format_duration, parse_positive_duration
from supervisor_memkill.workers.advice import advise_on_job_limit, advise_on_stopwaitsecs
from supervisor_memkill.workers.base import all_unknown
from supervisor_memkill.workers.command_line import words_run
from supervisor_memkill.workers.contract import Advice, Option, Reading, Target, unknown
from supervisor_memkill.workers.queues import QUEUES, arguments_and_options, words_after
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait
from supervisor_memkill.workers.templates import fill, parse_template
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

VALUE_OPTIONS = frozenset({"--watch", "--custom-log-dict"})
"""The options of ``arq`` that have a value, up to 0.28.0 (arq/cli.py)."""
OLD_RECORD_SECONDS = 60
"""A record that stays valid for longer may itself be older than people expect of a busy count."""

SHARED_KEY = (
    "health_check_key is the same for several workers, so that nobody knows whose number it holds: put "
    "%(name)s or %(pid)s into it, and the same into WorkerSettings"
)


class Arq(StopThenWait):
    """Identified by the command line; with `health_check_key` also by a health record that is still valid."""

    framework = "arq"
    command_text = "arq"
    own_programs = frozenset({"arq"})
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        **QUEUES,
        "job_completion_wait": Option(
            parse_positive_duration,
            None,
            "how long arq waits for running jobs at a stop; the same as in WorkerSettings",
            shown_default="required",
        ),
        "health_check_key": Option(
            parse_template,
            None,
            "Redis key that holds the number of running jobs; the same as in WorkerSettings",
        ),
    }
    stop = GracefulStop(other_signals="at any other signal arq does not finish the running jobs")

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Not ``arq --check``, which asks for the health of another process and ends."""
        words = words_run(title)
        return words[:1] == ["arq"] and "--check" not in words

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """Its WorkerSettings stand for the queue: ``arq app.WorkerSettings``."""
        arguments, _ = arguments_and_options(words_after(title, cls.command_text), VALUE_OPTIONS)
        return frozenset(arguments[:1])

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        found = []
        if values.get("job_completion_wait") is None:
            found.append(
                "worker = arq needs job_completion_wait, the same as in the application's WorkerSettings: "
                "without it in WorkerSettings, arq cancels running jobs at every stop"
            )
        if values.get("health_check_key") is not None and not values.get("redis"):
            found.append("health_check_key needs redis, and redis is not set")
        return found

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        readings = super().read(targets, table)
        template = self.values["health_check_key"]
        if template is None:
            return readings
        keys = [fill(template, target.process, self.tools.host) for target in targets]
        try:
            records = ask(self.tools.redis, lambda redis: _ask_records(redis, keys))
        except MemkillError as error:
            return all_unknown(targets, error)
        found = {}
        for target, key, (text, milliseconds) in zip(targets, keys, records, strict=True):
            reading = readings[target.process.worker]
            if keys.count(key) > 1:
                found[target.process.worker] = replace(reading, remark=SHARED_KEY)
                continue
            found[target.process.worker] = _with_record(reading, key, text, milliseconds)
        return found

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        """The limit is not on the command line: it is the one that the pool repeats."""
        wait = self.values["job_completion_wait"]
        setting = f"job_completion_wait={format_duration(wait)}"
        yield from advise_on_job_limit(wait, setting, self.framework, drain_timeout_seconds)
        yield from advise_on_stopwaitsecs(program, wait, "job_completion_wait", refuses=True)


def _ask_records(redis: Any, keys: Sequence[str]) -> list[tuple[object, object]]:
    """The text of each key and its TTL in milliseconds; one round trip for all."""
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.get(key)
        pipe.pttl(key)
    answers = pipe.execute()
    return list(zip(answers[::2], answers[1::2], strict=True))


def _with_record(reading: Reading, key: str, text: object, milliseconds: object) -> Reading:
    """The reading by command line, completed by the health record."""
    if reading.recognised is not True:
        return reading
    try:
        busy, is_old = _parse_record(text, milliseconds)
    except Unknown as error:
        return unknown(f"{key}: {error}", reading.note)
    if is_old:
        hint = f"{key} may be old: set health_check_interval in WorkerSettings to a few seconds"
        return replace(reading, remark=hint)
    return replace(reading, busy=busy)


def _parse_record(text: object, milliseconds: object) -> tuple[int, bool]:
    """The number of running jobs, and whether it may be old. Raises Unknown."""
    if text is None:
        raise Unknown(
            "no health record: arq is still booting, its event loop is blocked, or its "
            "health_check_key differs"
        )
    found = re.search(r"\bj_ongoing=([0-9]{1,9})\b", str(text))
    if found is None:
        raise Unknown(f"not a health record of arq: {str(text)[:40]!r}")
    if not isinstance(milliseconds, int) or milliseconds < 0:
        raise Unknown("the health record has no TTL, so that a process that ended may have written it")
    return int(found[1]), milliseconds > OLD_RECORD_SECONDS * 1000
