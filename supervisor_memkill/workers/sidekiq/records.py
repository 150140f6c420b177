"""What a Sidekiq process writes about itself, as values. Nothing here reads or writes Redis.

Source: the heartbeat in Sidekiq's lib/sidekiq/launcher.rb, 4.2 to 8.1.7.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import Began, only_record, why_not_own

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
    queues: frozenset[str] | None = frozenset()
    """None: the record does not show them."""
    version: str = ""
    """Empty below 7.0.2."""
    embedded: bool = False
    """It runs inside another program, such as Puma, which must not get the signals."""
    jobs: tuple[str, ...] | None = ()
    """Class names of the running jobs; None if one of them is unknown."""
    started_at: float = 0.0
    """When it wrote its first record, in epoch seconds by the worker's clock; 0 if unknown."""

    def is_fresh(self, wall: float) -> bool:
        """Whether the process was alive recently; `wall` is epoch seconds."""
        age = wall - self.beat
        return -CLOCK_SLACK_SECONDS <= age < BEATS_UNTIL_STALE * self.beat_interval_seconds


def owner_in(identity: str) -> tuple[str, int] | None:
    """The host name and the pid in an identity; None for every other text."""
    host, _, rest = identity.rpartition(":")[0].rpartition(":")
    return (host, int(rest)) if host and re.fullmatch(r"[0-9]{1,10}", rest) else None


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


def _queues(info: dict[str, Any]) -> frozenset[str] | None:
    """The queues of all capsules (from 8.0.9), else those of the process, which 9.0 is to drop.

    None if neither can be read. As Process#queues of lib/sidekiq/api.rb (8.1.7).
    """
    capsules, queues = info.get("capsules"), info.get("queues")
    if isinstance(capsules, dict) and capsules:
        of_each = [one.get("weights") if isinstance(one, dict) else None for one in capsules.values()]
        if all(isinstance(weights, dict) and weights for weights in of_each):
            return frozenset(str(name) for weights in of_each if weights for name in weights)
    return frozenset(map(str, queues)) if isinstance(queues, list) and queues else None


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

    ``sidekiq 6.4.1 myapp [1 of 3 busy]``. GitLab names the queues in place of the application, as in
    ``sidekiq 7.1.6 queues:default,mailers [0 of 20 busy]``. Sidekiq Enterprise appends ``leader`` for one
    process (sidekiq/sidekiq#3773).
    """
    match = re.match(r"sidekiq ([0-9]+(?:\.[0-9]+)+)\S* ", title)
    return match[1] if match else None


def contradiction(record: Record, title: str) -> str:
    """What the process title says against the record; empty if nothing, or if it is not Sidekiq's title.

    Sidekiq writes both at each beat, the title first (lib/sidekiq/launcher.rb, 4.2 to 8.1). If the quiet
    arrives between the two, they differ until the next beat.
    """
    version, (_, busy, rest) = version_in_title(title), title.partition("busy]")
    if version is None:
        return ""
    if record.version and not record.version.startswith(version):
        return f"the record {record.identity} is of Sidekiq {record.version}, and the process is {version}"
    if busy and ("stopping" in rest) is not record.quiet:
        by_record, by_title = ("quiet", "at work") if record.quiet else ("at work", "quiet")
        return f"{by_record} by the record {record.identity}, but {by_title} by its process title"
    return ""


def quiet_signal(version: str) -> str:
    """TSTP, or USR1 for a version known to be older than 4.2.9; USR1 kills a later Sidekiq."""
    numbers = tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version)[:3])
    return "USR1" if numbers and numbers < (4, 2, 9) else "TSTP"


def record_of(began: Mapping[int, Began], wall: float, records: Iterable[Record]) -> Record | None:
    """The record of the supervised process, otherwise of the Sidekiq below it; None without one.

    `began`: when each process of the tree began, the supervised one first. Raises Unknown if the record is
    stale, or if several records match.
    """
    if not began:
        raise Unknown("the process cannot be read")
    candidates = [one for one in records if one.pid in began and began[one.pid].fits(one.started_at)]
    own = [record for record in candidates if record.pid == next(iter(began))] or candidates
    if not own:
        return None
    fresh = [record for record in own if record.is_fresh(wall)]
    if not fresh:
        age = min(wall - record.beat for record in own)
        raise Unknown(
            f"no beat from Sidekiq for {age:.0f} s" if age > 0 else "Sidekiq's beat is in the future"
        )
    return only_record(fresh, "Sidekiq processes", "sidekiqswarm and sidekiq-cluster")


def why_no_record(began: Mapping[int, Began], wall: float, records: Iterable[Record]) -> str:
    """Why none of these records is the process's own; only those that are still written are named."""
    for record in records:
        if record.pid in began and record.is_fresh(wall):
            return why_not_own(record.identity, record.started_at, began[record.pid])
    return "no Sidekiq record of this process: it is still booting, or it is not Sidekiq"
