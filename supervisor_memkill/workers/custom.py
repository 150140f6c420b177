"""``worker = custom``: the operator says how the worker is quieted and where its busy count is."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.units import parse_positive_duration
from supervisor_memkill.workers.advice import advise_on_wrapper
from supervisor_memkill.workers.base import BaseKind, source_away
from supervisor_memkill.workers.command_line import beginning, is_shell_without_exec
from supervisor_memkill.workers.contract import (
    Advice,
    Note,
    Option,
    Reading,
    Target,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.templates import fill, parse_command, parse_template
from supervisor_memkill.world.commands import is_missing
from supervisor_memkill.world.redis_client import ask
from supervisor_memkill.world.run_command import run_command

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

ZEROS_APART_SECONDS = 0.5
"""Nothing confirms the quiet, and the first 0 may be older than the quiet: the second 0 in a row is believed,
if it is at least so much later."""
SUSPENDING_SIGNALS = frozenset({"TSTP", "TTIN", "TTOU"})
"""Suspend a process that does not catch them (signal(7)). STOP is not here: whoever sets it wants that."""
UNHANDLED = (
    "the process {1!r} does not handle {0}, which would end it or have no effect: set quiet_signal to a "
    "signal that this process handles, and start the worker without a wrapper"
)
"""A worker that is still booting handles it a little later."""
SIZE_COMMANDS = {"string": "get", "set": "scard", "hash": "hlen", "list": "llen", "zset": "zcard"}
"""The Redis command that returns the number in a key, by the key's TYPE."""


def parse_signal(text: str) -> str:
    """The name without SIG of a signal given by name or number, as supervisord takes them."""
    word = text.strip().upper()
    try:
        found = (
            signal.Signals(int(word))
            if word.isdecimal()
            else signal.Signals["SIG" + word.removeprefix("SIG")]
        )
    except (KeyError, ValueError):
        raise ValueError("the name or number of a signal, such as TSTP or 20") from None
    return found.name.removeprefix("SIG")


def _parse_quiet_signal(text: str) -> str:
    name = parse_signal(text)
    if name == "KILL":
        raise ValueError("a signal that the worker can catch: KILL ends the worker and its jobs")
    return name


def parse_count(text: object) -> int:
    """The whole number, 0 or more, in the text. Raises Unknown."""
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*", str(text))
    if found is None:
        raise Unknown(f"not a number of jobs: {str(text)[:40]!r}")
    return int(found[1])


class _SourceAway(Unknown):
    """The source of the busy count does not answer."""


class Custom(BaseKind):
    """Quiets and reads a worker in the ways that its pool's configuration names.

    `busy_key` is used as it is: `key_namespace` is not put before it. `busy_command` runs only for a target
    with a note, which is being drained: a mere check must not start processes.
    """

    options: ClassVar[Mapping[str, Option]] = {
        "quiet_signal": Option(
            _parse_quiet_signal, None, "signal, by name or number, that makes the worker take no new job"
        ),
        "quiet_command": Option(
            parse_command, None, "command, run without a shell, that makes the worker take no new job"
        ),
        "resume_signal": Option(
            parse_signal, None, "signal, by name or number, that makes the worker take jobs again"
        ),
        "busy_key": Option(parse_template, None, "Redis key that holds the worker's number of running jobs"),
        "busy_command": Option(
            parse_command,
            None,
            "command, run without a shell, that prints the worker's number of running jobs",
        ),
        "command_timeout": Option(
            parse_positive_duration, 5.0, "longest time that each of these commands may take"
        ),
    }

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=True, can_resume=values.get("resume_signal") is not None)

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        found = []
        for one, other in (("quiet_signal", "quiet_command"), ("busy_key", "busy_command")):
            given = [key for key in (one, other) if values.get(key) is not None]
            if len(given) != 1:
                count = "both are set" if given else "neither is set"
                found.append(f"worker = custom needs either {one} or {other}: {count}")
        if values.get("busy_key") is not None and not values.get("redis"):
            found.append("busy_key needs redis, and redis is not set")
        return found

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        counts = self._counts_in_redis(targets) if self.values["busy_key"] else {}
        return {
            target.process.worker: self._reading(target, table, counts.get(target.process.worker))
            for target in targets
        }

    def _reading(self, target: Target, table: ProcessTable, count: int | MemkillError | None) -> Reading:
        note = dict(target.note or {})
        zero_at = note.pop("zero_at", None)
        # A listener that died at the quiet could not write down that it sent it.
        frozen = target.note is not None and self._is_suspended_by_quiet(target.process, table)
        title = table.title(target.process.pid)
        if self._acts_on_the_process and is_shell_without_exec(title):
            why = f"{beginning(title)!r} is a shell: start the worker with exec, so that signals reach it"
            return replace(unrecognised(why, note), frozen=frozen)
        try:
            busy = self._busy(target, count)
        except _SourceAway as error:
            return replace(source_away(error, note), frozen=frozen)
        except MemkillError as error:
            return replace(unknown(str(error), note), frozen=frozen)
        now, is_idle = self.tools.clock(), False
        hold = "" if target.note is not None else self._why_not_quieted(target.process, table)
        if busy == 0 and target.note is not None:
            # Another version may have written the journal.
            is_known = type(zero_at) in (int, float) and zero_at <= now
            note["zero_at"] = zero_at if is_known else now
            is_idle = now - note["zero_at"] >= ZEROS_APART_SECONDS
        return Reading(
            recognised=True,
            in_service=True,
            quiet=None,
            busy=busy,
            idle=is_idle and not frozen,
            frozen=frozen,
            why=f"suspended: the process does not catch {self.values['quiet_signal']}" if frozen else "",
            hold=hold,
            remark=hold,
            note=note,
        )

    def _busy(self, target: Target, count: int | MemkillError | None) -> int | None:
        """The number of running jobs; None if it was not asked for. Raises MemkillError."""
        if isinstance(count, MemkillError):
            raise count
        if count is not None or target.note is None:
            return count
        try:
            answer = self._run("busy_command", target.process)
        except MemkillError as error:
            raise _SourceAway(f"busy_command: {error}") from error
        return parse_count(answer)

    def _counts_in_redis(self, targets: Sequence[Target]) -> Mapping[str, int | MemkillError]:
        """The number in each worker's key, or the error; two round trips for all."""
        workers = [target.process.worker for target in targets]
        keys = [self._fill(self.values["busy_key"], target.process) for target in targets]
        try:
            answers = ask(self.tools.redis, lambda redis: _ask_numbers(redis, keys))
        except MemkillError as error:
            return dict.fromkeys(workers, _SourceAway(str(error)))
        return {
            worker: _count_in(key, answer) for worker, key, answer in zip(workers, keys, answers, strict=True)
        }

    def _why_not_quieted(self, process: ProcessInfo, table: ProcessTable) -> str:
        """Why the quiet would end the process, with its jobs, or have no effect; empty if it is not known."""
        name = self.values["quiet_signal"]
        if name in (None, "STOP") or not table.leaves_to_system(process.pid, name):
            return ""
        return UNHANDLED.format(name, beginning(table.title(process.pid)))

    def _is_suspended_by_quiet(self, process: ProcessInfo, table: ProcessTable) -> bool:
        try:
            return self.values["quiet_signal"] in SUSPENDING_SIGNALS and table.is_suspended(process.pid)
        except Unknown:
            return False

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        if self.values["quiet_signal"]:
            self.tools.signal(target.process.worker, self.values["quiet_signal"])
        else:
            self._run("quiet_command", target.process)
        return {"told": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        if not self.traits.can_resume:
            raise MemkillError("no resume_signal is set")
        self.tools.signal(target.process.worker, self.values["resume_signal"])

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes: the process may be a wrapper or a preforking parent, whose own memory says little."""
        return True

    @property
    def _acts_on_the_process(self) -> bool:
        """The kind signals the supervised process, or counts by its pid."""
        values = self.values
        words = [values["busy_key"] or "", *(values["quiet_command"] or ()), *(values["busy_command"] or ())]
        return values["quiet_signal"] is not None or any("%(pid)s" in word for word in words)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        found = list(advise_on_wrapper(program, "the worker")) if self._acts_on_the_process else []
        if program.stopsignal == signal.SIGKILL:
            found.append(Advice("stopsignal=KILL cuts running jobs: set another signal", cuts_jobs=True))
        for option in ("quiet_command", "busy_command"):
            command, *_ = self.values[option] or ("",)
            if is_missing(command):
                found.append(Advice(f"{option}: {command} is not an executable file", refuses=True))
        return found

    def _run(self, option: str, process: ProcessInfo) -> str:
        # Filled in after the splitting, so that a name with a space stays one word.
        words = [self._fill(word, process) for word in self.values[option]]
        return run_command(words, self.values["command_timeout"])

    def _fill(self, template: str, process: ProcessInfo) -> str:
        return fill(template, process, self.tools.host)


def _ask_numbers(redis: Any, keys: Sequence[str]) -> Sequence[object]:
    """The value or the size of each key, None for an absent key, or the error of that key."""
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    types = pipe.execute()
    for key, kind in zip(keys, types, strict=True):
        getattr(pipe, SIZE_COMMANDS.get(kind, "get"))(key)
    answers: Sequence[object] = pipe.execute(raise_on_error=False)
    return answers


def _count_in(key: str, answer: object) -> int | MemkillError:
    try:
        if isinstance(answer, Exception):
            raise Unknown(str(answer))
        return 0 if answer is None else parse_count(answer)
    except Unknown as error:
        return Unknown(f"{key}: {error}")
