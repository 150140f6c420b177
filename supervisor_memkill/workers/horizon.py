"""``worker = horizon``: Laravel Horizon, drained by stopping.

Facts, tried with 5.21 on Laravel 8.83 and with 5.29 on Laravel 10.48 (src/MasterSupervisor.php,
ListensForSignals.php, Repositories/RedisMasterSupervisorRepository.php):

- The master, ``artisan horizon``, starts supervisors, which start the workers, all in one process group.
- At TERM the master alone stops its supervisors, and they stop their workers. The running jobs are finished,
  the exit status is 0. The master waits for as long as the longest ``timeout`` of config/horizon.php (60 s by
  default), then leaves the rest behind. With ``fast_termination`` it exits at once, while the jobs go on.
- QUIT ends the master alone.
- With ``stopasgroup`` the master ends at once, and its workers go on until their jobs are done, beside the
  Horizon that supervisord starts. What their jobs have started dies.
- After a SIGKILL of the master alone the workers finish their jobs and end. A SIGKILL of the group cuts the
  jobs.
- A master may run without supervisors, and takes no jobs then: config/horizon.php has none for the
  environment, or a supervisor ended with status 2 or 13 ("A supervisor with this name is already running"),
  after which the master does not start it again (laravel/horizon 599, 695; src/SupervisorProcess.php).
- A supervisor always has a worker, ``artisan horizon:work``: ``minProcesses`` of 0 is refused, and
  ``maxProcesses`` of 0 starts no supervisor (src/ProvisioningPlan.php). The first one runs seconds later.
- Each second the master writes a hash with its pid and its status, running or paused, with a TTL of 15 s or
  more; a stop deletes it. A restart ends a pause.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.workers.base import all_unknown
from supervisor_memkill.workers.contract import Reading, Target, Tools, Traits, unknown
from supervisor_memkill.workers.php import REJECTED, without_artisan_options
from supervisor_memkill.workers.stopping import GracefulStop, SignOfReadiness, StopThenWait
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.world.memory import ProcessTable

DEFAULT_PREFIX = "laravel_horizon:"
"""For an application with the default name: APP_NAME, then ``_horizon:`` (config/horizon.php)."""
PAUSED = "Horizon is paused, and a restart would end the pause: run `php artisan horizon:continue` first"
TWO_MASTERS = (
    "two Horizons write records with this host name and pid, and different statuses: give each machine or "
    "container its own host name"
)
NO_SUPERVISORS = (
    "no horizon:supervisor runs below this Horizon, so that it takes no jobs: it is still booting, or see "
    "its log, and config/horizon.php for its environment"
)
NO_WORKERS = (
    "no horizon:work runs below this Horizon, so that it takes no jobs: its supervisors have just begun, or "
    "see its log for why they start no worker"
)


class Horizon(StopThenWait):
    """Identified by the command line; with `redis` its record tells whether it is paused.

    The processes share memory pages, which pss counts once. `key_namespace` is Horizon's `prefix`.
    """

    framework = "Horizon"
    command_text = "artisan horizon"
    command_rejects: ClassVar[Mapping[str, str]] = {
        **REJECTED,
        "artisan horizon:": "run `artisan horizon` instead: only Horizon's master stops all of its processes",
    }
    sign_of_readiness = SignOfReadiness("CONT", "it does not handle signals yet: Horizon is still booting")
    traits = Traits(quiets=False, measure="pss")
    stop = GracefulStop(
        signals=frozenset({"TERM"}),
        other_signals="at QUIT Horizon's master ends alone, and only TERM surely finishes all jobs",
        stopasgroup_harm="Horizon's master would end at once, its workers would go on beside the new "
        "Horizon, and processes that their jobs have started would be cut",
        killasgroup_harm="after a SIGKILL of Horizon's master alone its workers finish their jobs, and a "
        "SIGKILL of the group cuts them",
    )

    def __init__(self, values: Mapping[str, Any], tools: Tools, hostname: str | None = None) -> None:
        """`hostname` is the hostname that Horizon makes the name of its record from."""
        super().__init__(values, tools)
        self._host = slug(hostname or socket.gethostname())
        self._prefix = tools.key_namespace or DEFAULT_PREFIX

    @classmethod
    def plain_command(cls, title: str) -> str:
        """``artisan -v horizon`` is ``artisan horizon``."""
        return without_artisan_options(title)

    def read_one(self, target: Target, table: ProcessTable) -> Reading:
        """The command line shows the master; the processes below it show whether it takes jobs."""
        reading = super().read_one(target, table)
        if reading.recognised is not True:
            return reading
        try:
            below = [table.title(child.pid) for child in table.tree(target.process.pid)[1:]]
        except Unknown as error:
            return unknown(str(error), target.note)
        if any("horizon:work" in title for title in below):
            return reading
        has_supervisors = any("horizon:supervisor" in title for title in below)
        return replace(reading, in_service=False, why=NO_WORKERS if has_supervisors else NO_SUPERVISORS)

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        readings = super().read(targets, table)
        if not self.tools.has_redis:
            return readings
        try:
            statuses = ask(self.tools.redis, self._ask_statuses)
        except MemkillError as error:
            return all_unknown(targets, error)
        return {
            target.process.worker: self._with_record(
                readings[target.process.worker], statuses.get(str(target.process.pid), frozenset()), target
            )
            for target in targets
        }

    def _ask_statuses(self, redis: Any) -> Mapping[str, frozenset[str]]:
        """The statuses of the masters of this host by their pid, as texts: two round trips.

        Containers with the same host name may have the same pid.
        """
        names = [
            str(name)
            for name in redis.zrange(f"{self._prefix}masters", 0, -1)
            if str(name).startswith(f"{self._host}-")
        ]
        pipe = redis.pipeline(transaction=False)
        for name in names:
            pipe.hmget(f"{self._prefix}master:{name}", ["pid", "status"])
        found: dict[str, frozenset[str]] = {}
        for pid, status in pipe.execute():
            if pid is not None:
                found[str(pid)] = found.get(str(pid), frozenset()) | {str(status)}
        return found

    def _with_record(self, reading: Reading, statuses: frozenset[str], target: Target) -> Reading:
        """The reading by command line, completed by the record's status."""
        if reading.recognised is not True or statuses == {"running"}:
            return reading
        if len(statuses) > 1:
            return unknown(TWO_MASTERS, target.note)
        status = next(iter(statuses), None)
        if status == "paused":
            return replace(reading, in_service=False, why=PAUSED, hold=PAUSED)
        if status is not None:
            return unknown(f"Horizon's record has the unknown status {status[:40]!r}", target.note)
        if not self.tools.key_namespace:
            return reading  # another prefix, or a `redis` that Horizon does not use
        return unknown(
            f"no record of this Horizon below {self._prefix}: it is still booting or already stopping, or "
            "key_namespace is not the prefix of config/horizon.php",
            target.note,
        )


def slug(hostname: str) -> str:
    """The hostname as Horizon writes it (Str::slug of illuminate/support)."""
    kept = re.sub(r"[^-a-z0-9\s]", "", hostname.replace("_", "-").replace("@", "-at-").lower())
    return re.sub(r"[-\s]+", "-", kept).strip("-")
