"""What a Sidekiq process writes about itself, as values. Nothing here reads or writes Redis.

Source: the heartbeat in Sidekiq's lib/sidekiq/launcher.rb, 4.2 to 8.1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor_memkill.errors import Unknown

FIELDS = ("info", "busy", "beat", "quiet")
"""The fields of an identity's hash that make a Record."""
BEATS_UNTIL_STALE = 3
CLOCK_SLACK_SECONDS = 2.0
"""A beat further in the future means that a clock was set back: its age says nothing."""


@dataclass(frozen=True)
class Record:
    """One heartbeat of one Sidekiq process."""

    identity: str
    """``host:pid:nonce``; the nonce is new for every process."""
    pid: int
    beat: float
    """Epoch seconds, by the worker's clock."""
    beat_interval_seconds: float
    busy: int
    quiet: bool
    queues: frozenset[str] = frozenset()
    version: str = ""
    """Empty below 7.0.2."""
    embedded: bool = False
    """It runs inside another program, such as Puma, which must not get the signals."""
    jobs: tuple[str, ...] | None = ()
    """Class names of the running jobs; None if one of them is unknown."""
    started_at: float = 0.0
    """Epoch seconds, by the worker's clock; 0 if unknown."""

    def is_of_process_since(self, since: float) -> bool:
        """It may belong to a process that began in this whole epoch second.

        A dead process whose pid was used again, which happens at once in a container that restarts, began
        earlier, and its last beat is no later than that second.
        """
        return self.beat >= since + 1 or (self.beat >= since and self.started_at >= since)

    def is_fresh(self, wall: float) -> bool:
        """Whether the process was alive recently; `wall` is epoch seconds."""
        age = wall - self.beat
        return -CLOCK_SLACK_SECONDS <= age < BEATS_UNTIL_STALE * self.beat_interval_seconds


def is_identity(text: str) -> bool:
    """Whether a text has the form of an identity, of whatever host."""
    return re.fullmatch(r".+:[0-9]{1,10}:[0-9a-f]+", text) is not None


def pid_in(identity: str, hostname: str) -> int | None:
    """The pid in an identity of this host; None for every other text."""
    rest = identity.removeprefix(f"{hostname}:")
    pid, colon, _nonce = rest.partition(":")
    if rest == identity or not colon or not re.fullmatch(r"[0-9]{1,10}", pid):
        return None
    return int(pid)


def parse_record(identity: str, pid: int, fields: Sequence[Any], work: Iterable[Any]) -> Record | None:
    """The record in the values of FIELDS and of the hash of running jobs; None if the hash is gone.

    Raises Unknown for values that Sidekiq does not write.
    """
    if all(value is None for value in fields):
        return None
    info_text, busy_text, beat_text, quiet_text = fields
    try:
        if not (re.fullmatch(r"[0-9]{1,9}", busy_text) and re.fullmatch(r"[0-9][0-9.e+-]{0,40}", beat_text)):
            raise ValueError(f"busy={busy_text[:40]!r} beat={beat_text[:40]!r}")
        info, busy, beat = json.loads(info_text), int(busy_text), float(beat_text)
        quiet = {"true": True, "false": False}[quiet_text]
        if not isinstance(info, dict) or busy < 0 or not math.isfinite(beat):
            raise ValueError(f"busy={busy} beat={beat}")
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise Unknown(f"the Sidekiq record {identity} cannot be read: {error}") from error
    return Record(
        identity=identity,
        pid=pid,
        beat=beat,
        beat_interval_seconds=10.0 if info.keys() & {"version", "embedded"} else 5.0,
        busy=busy,
        quiet=quiet,
        queues=_queues(info),
        version=str(info.get("version") or ""),
        embedded=bool(info.get("embedded")),
        jobs=_job_classes(work, busy),
        started_at=_started_at(info),
    )


def _started_at(info: dict[str, Any]) -> float:
    started_at: Any = info.get("started_at")
    return float(started_at) if type(started_at) in (int, float) and 0 < started_at < 2**40 else 0.0


def _queues(info: dict[str, Any]) -> frozenset[str]:
    queues = info.get("queues")
    return frozenset(map(str, queues)) if isinstance(queues, list) else frozenset()


def _job_classes(work: Iterable[Any], busy: int) -> tuple[str, ...] | None:
    names = [_job_class(entry) for entry in work]
    known = sorted(name for name in names if name is not None)
    return tuple(known) if len(known) == len(names) and len(names) >= busy else None


def _job_class(entry: Any) -> str | None:
    """The job's class, or the class that Active Job wrapped; None if the entry does not contain it."""
    try:
        job = json.loads(entry)["payload"]
        # An object up to 6.0.1, a string of JSON from 6.0.3.
        job = json.loads(job) if isinstance(job, str) else job
        name = job.get("wrapped") or job["class"]
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def version_in_title(title: str) -> str | None:
    """The version in the process title that a booted Sidekiq gives itself; None for any other title.

    ``sidekiq 6.4.1 myapp [1 of 3 busy]``
    """
    match = re.match(r"sidekiq ([0-9]+(?:\.[0-9]+)+)\S* ", title)
    return match[1] if match else None


def quiet_signal(version: str) -> str:
    """TSTP, or USR1 for a version known to be older than 4.2.9; USR1 kills a later Sidekiq."""
    numbers = tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version)[:3])
    return "USR1" if numbers and numbers < (4, 2, 9) else "TSTP"


def record_of(pids: Sequence[int], since: float, wall: float, records: Iterable[Record]) -> Record | None:
    """The record of the process pids[0], otherwise of the Sidekiq below it; None without one.

    `since` (whole epoch seconds) is when the supervised process started. Raises Unknown if the record is
    stale, or if several records match.
    """
    if not pids:
        raise Unknown("the process cannot be read")
    candidates = [record for record in records if record.pid in pids and record.is_of_process_since(since)]
    own = [record for record in candidates if record.pid == pids[0]] or candidates
    if not own:
        return None
    fresh = [record for record in own if record.is_fresh(wall)]
    if not fresh:
        age = min(wall - record.beat for record in own)
        raise Unknown(
            f"no beat from Sidekiq for {age:.0f} s" if age > 0 else "Sidekiq's beat is in the future"
        )
    if len({record.pid for record in fresh}) > 1:
        raise Unknown(f"{len(fresh)} Sidekiq processes run under one supervised process")
    if len(fresh) > 1:
        raise Unknown("two machines write Sidekiq records under this hostname")
    return fresh[0]
