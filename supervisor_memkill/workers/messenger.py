"""``worker = messenger``: Symfony Messenger's ``messenger:consume``, drained by stopping.

Facts, tried with 5.4, 6.4 and 7.4 (Worker.php, Command/ConsumeMessagesCommand.php,
Bridge/Redis/Transport/Connection.php):

- At TERM the worker finishes the running message, acknowledges it and exits with status 0. A second TERM
  changes nothing. INT does the same from 6.3 on, QUIT from 7.1 on; before, they end the worker at once. At
  USR1 and USR2 Symfony's console exits with status 0 in the middle of the message (6.4, 7.4), or it goes on
  (5.4).
- 6.3.5 alone ends at TERM in the middle of the message (read: ConsumeMessagesCommand::handleSignal returns 0;
  symfony/symfony 52077). Nothing shows the version from outside.
- All of this needs PHP's extension pcntl. Nothing shows from outside whether it is there.
- On the Redis transport a worker that starts first takes what is pending under its consumer name. By default
  all workers have the name ``consumer``: then each restart runs the running messages of the others again.
- A message that SIGKILL cuts runs again: with Redis when a worker of the same name starts, or after
  ``redeliver_timeout`` (1 h).
- ``--memory-limit`` looks at PHP's own heap between two messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.units import parse_size
from supervisor_memkill.workers.advice import advise_on_memory_limit
from supervisor_memkill.workers.base import all_unknown
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.contract import Advice, Option, Reading, Target
from supervisor_memkill.workers.php import PHP, REJECTED
from supervisor_memkill.workers.queues import QUEUES, arguments_and_options, of_each
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait, parse_text
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

DEFAULT_STREAM = "messages"
THE_RECEIVER, ALL_RECEIVERS = "the only receiver", "all receivers"
"""In place of the receivers of a worker whose command line names none."""
VALUE_OPTIONS = frozenset(
    {
        *("--limit", "-l", "--failure-limit", "-f", "--memory-limit", "-m", "--time-limit", "-t", "--sleep"),
        *("--bus", "-b", "--queues", "--exclude-receivers", "--env", "-e"),
    }
)
"""The options of ``messenger:consume`` that have a value, up to 7.4 (Command/ConsumeMessagesCommand.php)."""
GONE_SECONDS = 3600.0
"""A consumer that asked for nothing for so long, and has nothing pending, is an ended worker's.

A worker asks again after each message and each ``--sleep`` (1 s); a running message is pending.
"""


class Messenger(StopThenWait):
    """Identified by the command line; on the Redis transport each worker needs a consumer name of its own."""

    framework = "Symfony Messenger"
    command_text = "messenger:consume"
    command_rejects = REJECTED
    own_programs = PHP
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        **QUEUES,
        "stream": Option(
            parse_text,
            None,
            "Redis stream of the transport, in the pool's redis: a drain needs a consumer name per worker",
            shown_default=f"{DEFAULT_STREAM}, if it is there",
        ),
        "consumer_group": Option(parse_text, "symfony", "consumer group of that stream"),
    }
    stop = GracefulStop(
        signals=frozenset({"TERM"}),
        other_signals="Messenger finishes its message at INT only from 6.3 on, at QUIT only from 7.1 on, and "
        "at other signals never",
    )

    @classmethod
    def plain_command(cls, title: str) -> str:
        """``messenger:consume-messages`` is its name up to 4.2, and works up to 4.4."""
        return title.replace("messenger:consume-messages", "messenger:consume")

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """Its receivers, or the queues of ``--queues`` in them."""
        words = cls.plain_command(title).partition(cls.command_text)[2].split()
        receivers, options = arguments_and_options(words, VALUE_OPTIONS)
        if "--all" in words:
            receivers = [" without ".join([ALL_RECEIVERS, *sorted(options.get("--exclude-receivers", ()))])]
        receivers, queues = receivers or [THE_RECEIVER], options.get("--queues")
        if queues is None:
            return frozenset(receivers)
        return frozenset().union(*(of_each(receiver, queues) for receiver in receivers))

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        if values.get("stream") is not None and not values.get("redis"):
            return ["stream needs redis, and redis is not set"]
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        readings = super().read(targets, table)
        if not self.tools.has_redis:
            return readings
        try:
            names = ask(self.tools.redis, self._count_names)
        except MemkillError as error:
            return all_unknown(targets, error)
        workers = sum(reading.recognised is True for reading in readings.values())
        hold = self._why_held(workers, names)
        return {
            worker: replace(one, hold=hold, remark=hold) if one.recognised else one
            for worker, one in readings.items()
        }

    def _count_names(self, redis: Any) -> int | None:
        """The number of consumer names in use; None if the stream or its group is not there."""
        stream, group = self.values["stream"] or DEFAULT_STREAM, self.values["consumer_group"]
        if redis.type(stream) != "stream":
            return None
        if group not in [found["name"] for found in redis.xinfo_groups(stream)]:
            return None
        return sum(_is_used(consumer) for consumer in redis.xinfo_consumers(stream, group))

    def _why_held(self, workers: int, names: int | None) -> str:
        """Why no worker may be restarted, by the number of workers and of their names; empty if they may."""
        stream, group = self.values["stream"], self.values["consumer_group"]
        if names is None and stream is not None:
            return f"redis has no stream {stream} with the consumer group {group}: correct or remove stream"
        if names is None or names >= workers:
            return ""
        return (
            f"{workers} workers have only {_count(names)} in the group {group} of the stream "
            f"{stream or DEFAULT_STREAM}: a worker that starts would also run the running messages of "
            "workers with its name; set MESSENGER_CONSUMER_NAME for each process in environment, and make it "
            "the transport's consumer"
        )

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        given = option_text(program.command, "-m", "--memory-limit")
        try:
            limit_bytes = parse_size(given or "").exact_bytes
        except ValueError:
            return
        setting = f"--memory-limit={given}"
        yield from advise_on_memory_limit(limit_bytes or 0, setting, self.framework, self.tools.max_rss_bytes)


def _count(names: int) -> str:
    return "1 consumer name" if names == 1 else f"{names} consumer names"


def _is_used(consumer: Mapping[str, Any]) -> bool:
    return int(consumer["pending"]) > 0 or int(consumer["idle"]) < GONE_SECONDS * 1000
