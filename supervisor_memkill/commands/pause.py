"""``supervisor-memkill pause`` and ``unpause``: no drain begins in a pool."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.commands.restart import EXPIRES_SECONDS, add_fleet, duration, when_they_come
from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.units import format_duration

NO_DRAIN = "no drain is under way"


def _add_pools(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="POOL", help="a pool; *, ? and [...] match")
    add_fleet(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_pools(parser)
    parser.add_argument(
        "--for", dest="lasts", metavar="TIME", help="how long, such as 2h (default: until unpause)"
    )
    parser.add_argument("--except-hard", action="store_true", help="still drain a worker over hard_max_rss")
    parser.add_argument("--wait", action="store_true", help="wait until no drain is under way any more")
    parser.add_argument(
        "--timeout", metavar="TIME", help="with --wait: end with status 1 after this time, such as 30m"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Pause the pools. With --wait: SUCCESS when the listener owes nobody anything. Raises MemkillError."""
    from supervisor_memkill.commands.request import requester
    from supervisor_memkill.rules.requests import Act

    lasts_seconds = None if arguments.lasts is None else duration("--for", arguments.lasts)
    timeout_seconds = None if arguments.timeout is None else duration("--timeout", arguments.timeout)
    if timeout_seconds is not None and not arguments.wait:
        raise UsageError("--timeout needs --wait")
    how_long = "until unpause" if lasts_seconds is None else f"for {format_duration(lasts_seconds)}"
    if arguments.fleet:
        return _pause_fleet(arguments, environ, lasts_seconds, timeout_seconds, how_long)
    made = requester(arguments, environ)
    taken = made.send(
        Act.PAUSE, arguments.names, lasts_seconds=lasts_seconds, except_hard=arguments.except_hard
    )
    _check_pools(arguments, taken.pools, made.pools)
    output.say(f"paused {how_long}: {', '.join(taken.pools)}; drains under way continue")
    if not arguments.wait:
        return SUCCESS

    left: list[str] = []
    for state in made.states(timeout_seconds):
        paused = [pool for pool in state.pools if pool.name in taken.pools]
        left = [worker.worker for pool in paused for worker in pool.workers if worker.drain]
        # A new listener that has not looked at its workers yet cannot show their drains.
        if paused and not left:
            output.say(NO_DRAIN)
            return SUCCESS
    raise MemkillError(f"a drain is still under way{': ' if left else ''}{', '.join(left)}")


def _pause_fleet(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    lasts_seconds: float | None,
    timeout_seconds: float | None,
    how_long: str,
) -> int:
    from supervisor_memkill.commands.fleet_request import draining, fleet_requester, silent_hosts
    from supervisor_memkill.rules.requests import Act

    made = fleet_requester(arguments, environ)
    sent = made.send(
        Act.PAUSE, arguments.names, lasts_seconds=lasts_seconds, except_hard=arguments.except_hard
    )
    silent = silent_hosts(sent, made.wait_for_answers(sent))
    pools = ", ".join(one.pool for one in sent)
    output.say(f"paused on all hosts {how_long}: {pools}; drains under way continue{when_they_come(silent)}")
    if not arguments.wait:
        return SUCCESS
    left: list[str] = []
    for views in made.views(sent, timeout_seconds):
        left = [*draining(views), *(f"{one} is silent" for one in silent_hosts(sent, views))]
        if not left:
            output.say(NO_DRAIN)
            return SUCCESS
    raise MemkillError(f"a drain is still under way, or may be: {', '.join(left)}")


def run_unpause(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """End the pause of pools. Raises MemkillError."""
    from supervisor_memkill.commands.fleet_request import fleet_requester, silent_hosts
    from supervisor_memkill.commands.request import requester
    from supervisor_memkill.rules.requests import Act

    if arguments.fleet:
        everywhere = fleet_requester(arguments, environ)
        # Without an end: a host that comes at any time must not stay paused.
        sent = everywhere.send(Act.UNPAUSE, arguments.names, lasts_seconds=None)
        silent = silent_hosts(sent, everywhere.wait_for_answers(sent))
        pools = ", ".join(one.pool for one in sent)
        output.say(f"not paused any more on all hosts: {pools}{when_they_come(silent)}")
        return SUCCESS
    made = requester(arguments, environ)
    taken = made.send(Act.UNPAUSE, arguments.names, lasts_seconds=EXPIRES_SECONDS)
    _check_pools(arguments, taken.pools, made.pools)
    output.say(f"not paused any more: {', '.join(taken.pools)}")
    return SUCCESS


def _check_pools(arguments: argparse.Namespace, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    """The listener may have started with another configuration."""
    from supervisor_memkill.commands.request import NO_POOL

    if not found:
        raise MemkillError(NO_POOL.format(names=" ".join(arguments.names), pools=", ".join(known)))


PAUSE = Command(
    "pause",
    "begin no drain in a pool; drains under way continue",
    run,
    (CONFIG, *SERVER_OPTIONS),
    add_arguments,
)
UNPAUSE = Command("unpause", "end the pause of a pool", run_unpause, (CONFIG, *SERVER_OPTIONS), _add_pools)
