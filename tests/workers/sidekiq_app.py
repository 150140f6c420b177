"""The client of tests/programs/sidekiq_app.rb: puts jobs into its queue, and reads their results."""

from __future__ import annotations

import json
import secrets
import shlex
import time

import redis

from tests.harness import PROGRAMS, require_program, words_for_root


def sidekiq_command(
    *,
    concurrency: int = 2,
    queue: str = "default",
    timeout: int = 2,
    suite: str = "",
    capsules: bool = False,
) -> str:
    """A command line for supervisord; REDIS_URL goes into the environment.

    With `suite` it is the Sidekiq of a later suite of Debian. With `capsules` it has another one, for
    `mailers`.
    """
    words = [*words_for_root(suite), "sidekiq"] if suite else [require_program("sidekiq")]
    words += ["-C", str(PROGRAMS / "sidekiq_capsules.yml")] if capsules else []
    words += ["-r", str(PROGRAMS / "sidekiq_app.rb")]
    words += ["-c", str(concurrency), "-q", queue, "-t", str(timeout)]
    return shlex.join(words)


class SidekiqJobs:
    """The jobs of one Redis."""

    def __init__(self, client: redis.Redis) -> None:
        """`client` decodes strings."""
        self._client = client

    def push(self, argument: float, name: str = "SleepJob", queue: str = "default") -> str:
        """Put a job into the queue, as Sidekiq's own client would; its id."""
        jid = secrets.token_hex(12)
        now = time.time()
        job = {"class": name, "args": [argument], "jid": jid, "queue": queue, "retry": True}
        self._client.sadd("queues", queue)
        self._client.lpush(f"queue:{queue}", json.dumps({**job, "created_at": now, "enqueued_at": now}))
        return jid

    def started(self) -> dict[str, int]:
        """How often each job was begun, by its id."""
        return self._counts("app:started")

    def finished(self) -> dict[str, int]:
        """How often each job was finished, by its id."""
        return self._counts("app:finished")

    def running(self) -> set[str]:
        """The jobs begun more often than finished. Finishes are read first: never too few."""
        finished = self.finished()
        return {jid for jid, times in self.started().items() if times > finished.get(jid, 0)}

    def _counts(self, key: str) -> dict[str, int]:
        found = self._client.hgetall(key)
        assert isinstance(found, dict)
        return {str(jid): int(times) for jid, times in found.items()}
