"""``worker = custom``: the operator says how it is quieted and where its busy count stands."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.units import parse_positive_duration
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits, unknown
from supervisor_memkill.workers.settings import is_wrapped_without_exec, wrapper_advice
from supervisor_memkill.world.redis_client import ask
from supervisor_memkill.world.run_command import run_command

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

FILLED_IN = ("pid", "group", "name", "host")
ZEROS_APART_SECONDS = 0.5
"""Nothing confirms the quiet, and the first 0 may be older than it: the second one in a row is believed, so
much later at the least."""
STOPPED_BY_DEFAULT = frozenset({"TSTP", "TTIN", "TTOU"})
"""Suspend a process that does not catch them (signal(7)); STOP is left out: whoever sets it means it."""
SIZE_OF = {"string": "get", "set": "scard", "hash": "hlen", "list": "llen", "zset": "zcard"}
"""Redis's TYPE of a key to the command that tells its number."""


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
        raise ValueError("a signal that the worker can catch: KILL ends it, and its jobs with it")
    return name


def parse_template(text: str) -> str:
    """The text as it is, when all that it wants filled in is known."""
    _check_holes(text)
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text


def _check_holes(text: str) -> None:
    for hole in re.findall(r"%\([^)]*\)?.?", text):
        if hole not in {f"%({name})s" for name in FILLED_IN}:
            known = " ".join(f"%({name})s" for name in FILLED_IN)
            raise ValueError(f"a text in which only {known} are filled in, not {hole!r}")


def fill(template: str, process: ProcessInfo, host: str) -> str:
    """The template with what it wants filled in."""
    texts = (str(process.pid), process.group, process.name, host)
    known = dict(zip(FILLED_IN, texts, strict=True))
    return re.sub(r"%\((\w+)\)s", lambda hole: known[hole[1]], template)


def parse_command(text: str) -> tuple[str, ...]:
    """The words of a command that runs without a shell."""
    try:
        words = tuple(shlex.split(parse_template(text)))
        for word in words:  # quotes and backslashes may have hidden a hole
            _check_holes(word)
    except ValueError as error:
        raise ValueError(f"a command that runs without a shell ({error})") from None
    return words


def parse_count(text: object) -> int:
    """The whole number, 0 or more, that stands in the text. Raises Unknown."""
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*", str(text))
    if found is None:
        raise Unknown(f"not a number of jobs: {str(text)[:40]!r}")
    return int(found[1])


class Custom:
    """Quiets and reads a worker in the ways that its pool's configuration names.

    ``busy_key`` is taken as it stands: ``key_namespace`` is not put before it. ``busy_command`` runs
    only for a target with a note, which is one being drained: a mere check must not fork.
    """

    options: ClassVar[Mapping[str, Option]] = {
        "quiet_signal": Option(_parse_quiet_signal, None, "the signal after which it takes no new job"),
        "quiet_command": Option(parse_command, None, "the command after which it takes no new job"),
        "resume_signal": Option(parse_signal, None, "the signal after which it takes jobs again"),
        "busy_key": Option(parse_template, None, "the Redis key that holds its number of jobs in hand"),
        "busy_command": Option(parse_command, None, "the command that prints its number of jobs in hand"),
        "command_timeout": Option(parse_positive_duration, 5.0, "how long each command may take"),
    }
    needs_redis: ClassVar[bool] = False

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        self._values = values
        self._tools = tools
        self.traits = self.traits_for(values)

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=True, can_resume=values.get("resume_signal") is not None)

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        found = []
        for one, other in (("quiet_signal", "quiet_command"), ("busy_key", "busy_command")):
            given = [key for key in (one, other) if values.get(key) is not None]
            if len(given) != 1:
                told = "both are set" if given else "neither is set"
                found.append(f"worker = custom needs either {one} or {other}: {told}")
        if values.get("busy_key") is not None and not values.get("redis"):
            found.append("busy_key needs redis, and none is set")
        return found

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        counts = self._counts_in_redis(targets) if self._values["busy_key"] else {}
        return {
            target.process.worker: self._reading(target, table, counts.get(target.process.worker))
            for target in targets
        }

    def _reading(self, target: Target, table: ProcessTable, count: int | MemkillError | None) -> Reading:
        note = dict(target.note or {})
        zero_at = note.pop("zero_at", None)
        frozen = bool(note.get("told")) and self._is_suspended_by_quiet(target.process, table)
        title = table.title(target.process.pid)
        if self._means_the_process and is_wrapped_without_exec(title):
            why = f"{title[:60]!r} is a shell: start the worker with exec, so that its signals reach it"
            return replace(unknown(why, note), recognised=False, frozen=frozen)
        try:
            busy = self._busy(target, count)
        except MemkillError as error:
            return replace(unknown(str(error), note), frozen=frozen)
        now, is_idle = self._tools.clock(), False
        if busy == 0 and target.note is not None:
            is_known = (
                type(zero_at) in (int, float) and zero_at <= now
            )  # the journal may be of another version
            note["zero_at"] = zero_at if is_known else now
            is_idle = now - note["zero_at"] >= ZEROS_APART_SECONDS
        return Reading(
            recognised=True,
            in_service=True,
            quiet=None,
            busy=busy,
            idle=is_idle and not frozen,
            frozen=frozen,
            why=f"suspended: it does not catch {self._values['quiet_signal']}" if frozen else "",
            note=note,
        )

    def _busy(self, target: Target, count: int | MemkillError | None) -> int | None:
        """Jobs in hand, None when it was not asked for. Raises MemkillError."""
        if isinstance(count, MemkillError):
            raise count
        if count is not None or target.note is None:
            return count
        return parse_count(self._run("busy_command", target.process))

    def _counts_in_redis(self, targets: Sequence[Target]) -> Mapping[str, int | MemkillError]:
        """The number in each worker's key, or why there is none; two round trips for all."""
        workers = [target.process.worker for target in targets]
        keys = [self._fill(self._values["busy_key"], target.process) for target in targets]
        try:
            answers = ask(self._tools.redis, lambda redis: _ask_numbers(redis, keys))
        except MemkillError as error:
            return dict.fromkeys(workers, error)
        return {
            worker: _count_in(key, answer) for worker, key, answer in zip(workers, keys, answers, strict=True)
        }

    def _is_suspended_by_quiet(self, process: ProcessInfo, table: ProcessTable) -> bool:
        try:
            return self._values["quiet_signal"] in STOPPED_BY_DEFAULT and table.is_suspended(process.pid)
        except Unknown:
            return False

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        if self._values["quiet_signal"]:
            self._tools.signal(target.process.worker, self._values["quiet_signal"])
        else:
            self._run("quiet_command", target.process)
        return {"told": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        if not self.traits.can_resume:
            raise MemkillError("no resume_signal is set")
        self._tools.signal(target.process.worker, self._values["resume_signal"])

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Always: nothing is known of it, and what a wrapper or a preforking parent holds says little."""
        return True

    @property
    def _means_the_process(self) -> bool:
        """It signals the supervised process, or counts by its pid."""
        values = self._values
        words = [values["busy_key"] or "", *(values["quiet_command"] or ()), *(values["busy_command"] or ())]
        return values["quiet_signal"] is not None or any("%(pid)s" in word for word in words)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        found = list(wrapper_advice(program, "the worker")) if self._means_the_process else []
        for option in ("quiet_command", "busy_command"):
            command, *_ = self._values[option] or ("",)
            if _is_missing(command):
                found.append(Advice(f"{option}: {command} is no file that can be run", refuses=True))
        return found

    def _run(self, option: str, process: ProcessInfo) -> str:
        # Filled in after the splitting: a name with a space stays one word.
        words = [self._fill(word, process) for word in self._values[option]]
        return run_command(words, self._values["command_timeout"])

    def _fill(self, template: str, process: ProcessInfo) -> str:
        return fill(template, process, self._tools.host)


def _is_missing(command: str) -> bool:
    """It names a file, in which nothing is filled in, and that cannot be run."""
    names_file = command.startswith("/") and "%(" not in command
    return names_file and not (Path(command).is_file() and os.access(command, os.X_OK))


def _ask_numbers(redis: Any, keys: Sequence[str]) -> Sequence[object]:
    """What stands in each key, or its size, or None for an absent one, or the error that it met."""
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    types = pipe.execute()
    for key, kind in zip(keys, types, strict=True):
        getattr(pipe, SIZE_OF.get(kind, "get"))(key)
    answers: Sequence[object] = pipe.execute(raise_on_error=False)
    return answers


def _count_in(key: str, answer: object) -> int | MemkillError:
    try:
        if isinstance(answer, Exception):
            raise Unknown(str(answer))
        return 0 if answer is None else parse_count(answer)
    except Unknown as error:
        return Unknown(f"{key}: {error}")
