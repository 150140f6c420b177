"""Several real supervisords with leaky workers and a listener each, and one real Redis: a fleet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervisor_memkill.coordination.contract import Rules
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.harness import short_directory
from tests.leaky_workers import LeakyWorkers
from tests.real.host import POOL, SLOT_TTL_SECONDS, Host, Settings
from tests.real.repeating import repeating
from tests.real.watched import Waits
from tests.real_redis import RealRedis

KEY = f"memkill:{{{POOL}}}"

SLIM, FAT, FATTER = 1, 40, 60
"""Megabytes that a worker's first process holds; those after it are slim."""

SAMPLE_SECONDS = 0.15
MOMENT_SECONDS = 0.5
"""A sample that took longer says nothing: a worker may have come back, and another gone, meanwhile."""

KINDS: Mapping[str, Mapping[str, object]] = {"custom": {"quiet_signal": "USR1"}, "plain": {}}


class Fleet(Waits):
    """Hosts that share one pool, one Redis and one spool."""

    def __init__(
        self,
        directory: Path,
        redis_server: RealRedis,
        hosts: Mapping[str, Sequence[int]],
        *,
        kind: str,
        pool: Settings,
        main: Settings,
        mains: Mapping[str, Settings],
        pools: Mapping[str, Settings],
        pause_at: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self.redis = redis_server
        self.client = redis_server.client()
        self.leaky = LeakyWorkers(directory)
        self._hold = directory / "hold"
        self._jobs: set[str] = set()
        self.hosts: dict[str, Host] = {}
        for name, megabytes in hosts.items():
            place = directory / name
            place.mkdir()
            env = {**environment, "MEMKILL_TEST_PAUSE_AT": pause_at.get(name, "")}
            host = Host(name, place, self.leaky, megabytes, ("--hold", str(self._hold)), env)
            busy = {"busy_command": f"cat {directory}/busy-%(name)s"} if kind == "custom" else {}
            host.write_memkill(
                {"redis": redis_server.url, **main, **mains.get(name, {})},
                {"worker": kind, **KINDS[kind], **busy, **pool, **pools.get(name, {})},
            )
            self.hosts[name] = host

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def start(self, *names: str) -> None:
        """Start these hosts, or all, and wait until their workers take jobs."""
        hosts = [self[name] for name in names or self.hosts]
        for host in hosts:
            host.supervisord.start()
        self.wait_for(lambda: not self._out(hosts))

    def keep_busy(self) -> None:
        """Give each worker that is up a job which lasts until `release`; all must be idle before."""
        self._hold.touch()
        jobs = {f"held_{number}" for number in range(len(self.serving()))}
        for job in jobs:
            self.put(job)
        self.wait_for(lambda: jobs <= set(self.leaky.started()))

    def hold_a_drain(self) -> dict[str, int]:
        """Let a_0 be drained, with a job in hand, while c_0 waits for its turn; the pids of both hosts.

        Host b has the peers that they need.
        """
        self.start("a")
        self.keep_busy()
        self.start("b")
        self.wait_for_drain("a", State.DRAINING)
        self.start("c")
        self.wait_for_event("c", "worker.held", "max_draining is reached (a/supervisor/a_0:a_0)")
        return self.pids("a", "c")

    def release(self) -> None:
        self._hold.unlink(missing_ok=True)

    def skip_first_settling(self) -> None:
        """Make the pool known to Redis before its first listener, so that none has to wait for others."""
        opener = RedisCoordinator(
            lambda: self.client,
            "opener/opener",
            "opener",
            prefix="memkill",
            heartbeat_seconds=0.01,
            slot_ttl_seconds=SLOT_TTL_SECONDS,
            settle_seconds=0,
        )
        opener.publish(POOL, Rules(0, 99, 0), [], [])

    # --- jobs -----------------------------------------------------------------------------------

    def put(self, job: str, seconds: float = 0.0) -> None:
        self._jobs.add(job)
        self.leaky.put(job, seconds)

    @contextlib.contextmanager
    def feeding(self, seconds: float, every_seconds: float) -> Iterator[None]:
        """A steady feed of jobs of that length; they are all done when this ends."""
        with repeating(lambda: self.put(f"job{len(self._jobs)}", seconds), every_seconds):
            yield
        self.wait_until_finished()

    def wait_until_finished(self) -> None:
        self.wait_for(
            lambda: set(self.leaky.finished()) == self._jobs, progress=lambda: len(self.leaky.finished())
        )

    def assert_each_job_once(self) -> None:
        started, finished = self.leaky.started(), self.leaky.finished()
        jobs = {*self._jobs, *started, *finished}
        odd = {job: (started[job], finished[job]) for job in jobs if (started[job], finished[job]) != (1, 1)}
        assert not odd and jobs == self._jobs, f"begun and finished: {odd}, jobs {jobs ^ self._jobs}"

    # --- what is --------------------------------------------------------------------------------

    def pids(self, *hosts: str) -> dict[str, int]:
        """Of these hosts' workers, or all."""
        return {worker: pid for name in hosts or self.hosts for worker, pid in self[name].pids().items()}

    def serving(self) -> set[int]:
        """The pids that take jobs, by the workers' own word."""
        return self._history()[-1]

    def most_out(self) -> int:
        """The most workers that took no jobs at any one time, once all of them had come up.

        It is what they themselves wrote down, in the order in which it happened, so that no moment
        is missed. Those that were killed count as in service.
        """
        counts = [len(serving) for serving in self._history()]
        whole = sum(len(host.names) for host in self.hosts.values())
        return whole - min(counts[counts.index(whole) :])

    def _history(self) -> list[set[int]]:
        """The pids that took jobs, after each fact."""
        history: list[set[int]] = [set()]
        for line in self.leaky.record.read_text().splitlines():
            word, *_, pid = line.split()
            if word == "up":
                history.append(history[-1] | {int(pid)})
            elif word in ("quiet", "term"):
                history.append(history[-1] - {int(pid)})
        return history

    def told(self) -> set[int]:
        """The pids that were ever told to take no new job, by a quiet or by a stop."""
        return {int(pid) for word in ("quiet", "term") for pid in self.leaky.facts(word)}

    def out_of_service(self, proxies: Mapping[str, Supervisord] | None = None) -> set[str]:
        """The workers of all hosts that no job would reach now: not running, or taking none."""
        return self._out(self.hosts.values(), proxies)

    def _out(self, hosts: Iterable[Host], proxies: Mapping[str, Supervisord] | None = None) -> set[str]:
        running: dict[str, int] = {}
        for host in hosts:
            proxy = proxies[host.name] if proxies else host.supervisord.proxy
            with contextlib.suppress(SupervisordError):
                found = proxy.all_processes()
                running |= {one.name: one.pid for one in found if one.state is ProcessState.RUNNING}
        serving = self.serving()
        return {name for host in hosts for name in host.names if running.get(name) not in serving}

    @contextlib.contextmanager
    def observing(self) -> Iterator[list[set[str]]]:
        """Who was out of service, several times a second, as seen by somebody outside."""
        samples: list[set[str]] = []
        proxies = {
            host.name: Supervisord(host.supervisord.url, timeout_seconds=10) for host in self.hosts.values()
        }

        def sample() -> None:
            began = time.monotonic()
            out = self.out_of_service(proxies)
            if time.monotonic() - began <= MOMENT_SECONDS:
                samples.append(out)

        with repeating(sample, SAMPLE_SECONDS):
            yield samples

    def holders(self) -> set[str]:
        """The workers that Redis has a slot for."""
        fields = self.client.hkeys(KEY)
        assert isinstance(fields, list)
        return {str(field)[2:] for field in fields if str(field).startswith("s:")}

    def redis_ms(self) -> int:
        """Milliseconds on Redis's clock."""
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def stream(self) -> list[dict[str, str]]:
        """The pool's stream of events, the oldest first; ``ms`` is when Redis took it."""
        entries: Any = self.client.xrange(f"{KEY}:events")
        return [{"ms": entry.split("-")[0], **fields} for entry, fields in entries]

    def story(self) -> str:
        """All that a failed test needs to be understood."""
        parts = ["--- workers", self.leaky.record.read_text()]
        for host in self.hosts.values():
            parts += [f"--- {host.name}: listener", host.log(), f"--- {host.name}: supervisord"]
            parts += [host.supervisord.log(), host.supervisord.output()]
        return "\n".join(parts)

    # --- waiting --------------------------------------------------------------------------------

    def wait_for_event(self, host: str, name: str, text: str = "", times: int = 1) -> str:
        """The first line of this host's listener that tells this event and holds this text."""
        self.wait_for(lambda: len(self[host].events(name, text)) >= times)
        return self[host].events(name, text)[0]

    def wait_for_drain(self, host: str, state: State) -> None:
        """Wait until this host's journal holds a drain in this state."""
        self.wait_for(lambda: any(drain.state is state for drain in self[host].drains().values()))

    def wait_for_pause(self, host: str) -> None:
        """Wait until this host's listener has come to the place where it pauses."""
        self.wait_for(self[host].paused.exists)

    def wait_for_heartbeats(self, host: str, times: int = 4) -> None:
        """Wait until this host has told what it sees so often from now on."""
        told: set[object] = set()

        def count() -> bool:
            told.add(self.client.hget(KEY, f"l:{host}/supervisor"))
            return len(told) > times

        self.wait_for(count)

    def wait_until_replaced(self, before: Mapping[str, int]) -> None:
        """Wait until fresh processes are in service instead of these, and nothing is owed."""
        replaced: set[str] = set()

        def done() -> bool:
            hosts = [host for host in self.hosts.values() if host.supervisord.is_alive()]
            now = {worker: pid for host in hosts for worker, pid in host.pids().items()}
            fresh = {worker for worker, pid in before.items() if now.get(worker) != pid}
            replaced.update(fresh)
            return fresh == set(before) and not self._out(hosts) and not any(host.drains() for host in hosts)

        self.wait_for(done, progress=lambda: len(replaced))


@contextlib.contextmanager
def running_fleet(
    redis_server: RealRedis,
    hosts: Mapping[str, Sequence[int]],
    *start: str,
    kind: str = "custom",
    pool: Settings | None = None,
    main: Settings | None = None,
    mains: Mapping[str, Settings] | None = None,
    pools: Mapping[str, Settings] | None = None,
    pause_at: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    settles: bool = False,
) -> Iterator[Fleet]:
    """A fleet, with these hosts started, or none; its logs are told when the test fails.

    `hosts`: the megabytes of each worker's first process, by host. `pool` and `main` are settings of
    every host, `mains` and `pools` of single ones; `pause_at` is where a host's listener stops itself, once.
    `settles`: the pool is unknown to Redis yet.
    """
    with short_directory() as directory:
        fleet = Fleet(
            directory,
            redis_server,
            hosts,
            kind=kind,
            pool=pool or {},
            main=main or {},
            mains=mains or {},
            pools=pools or {},
            pause_at=pause_at or {},
            environment=environment or {},
        )
        try:
            if not settles:
                fleet.skip_first_settling()
            if start:
                fleet.start(*start)
            yield fleet
        finally:
            print(fleet.story())  # pytest shows it of a failed test only
            fleet.release()
            for host in fleet.hosts.values():
                host.supervisord.stop(seconds=5)
            fleet.client.close()
