"""The keys of the configuration: what each takes, its default, and its help.

`GLOBAL_KEYS` and `POOL_KEYS` are the one table of keys; a kind adds its own (`Kind.options`). The page
docs/configuration.rst is made from them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from supervisor_memkill.config.parsers import (
    measure_parser,
    parse_before_stop,
    parse_children,
    parse_hook,
    parse_listen,
    parse_name,
    parse_namespace,
    parse_on_timeout,
    parse_path,
    parse_redis,
    parse_textfile,
    parse_yields,
)
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.notices.choice import parse_events
from supervisor_memkill.notices.secret_urls import parse_urls
from supervisor_memkill.processes import MEASURES
from supervisor_memkill.rules.hours import parse_drain_hours
from supervisor_memkill.units import (
    parse_choice,
    parse_duration,
    parse_positive_duration,
    parse_size,
    parse_whole,
    parse_words,
    parse_yes_no,
    write_duration,
)
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.world.memory import can_measure

REDIS_VARIABLE = "MEMKILL_REDIS"
"""The environment variable that is used if [memkill] has no `redis`."""
NOTIFY_VARIABLE = "MEMKILL_NOTIFY"
"""The environment variable that is used if [memkill] has no `notify`."""
EXTRAS = {
    "notify": ("apprise", "notify"),
    "metrics_textfile": ("prometheus_client", "metrics"),
    "metrics_listen": ("prometheus_client", "metrics"),
}
"""The module that a key needs, and the extra that brings it."""
SLOT_TTL_HEARTBEATS = 5
"""The least number of heartbeats in `slot_ttl`: a slot must survive a few lost heartbeats."""

_DURATION = "a duration such as 90s, 5m or 1h"
_SIZE = "a size such as 500MB or 1.5GB, or a share of this machine's memory such as 80%"
_REDIS_URL = "redis://, unix://, redis+sentinel:// or redis+cluster://; rediss... with TLS"
_EVENTS = "names or patterns (with *, ? and [...]) of events of the log, separated by spaces or commas"
_BY_DEFAULT = "events that a person must act on, and the ends of outages"
_REDIS_FILE = "absolute path of a file with the URL for redis, which only its owner can read (mode 0600)"

GLOBAL_KEYS: Mapping[str, Option] = {
    "redis": Option(
        parse_redis,
        Config.redis,
        f"URL ({_REDIS_URL}) of the Redis through which listeners coordinate; without it, this listener"
        " coordinates only the workers of its own supervisord",
        shown_default=f"{REDIS_VARIABLE}, else none",
    ),
    "redis_file": Option(
        parse_path,
        Config.redis_file,
        f"{_REDIS_FILE}, in place of redis; it keeps a password out of the configuration, and is read by the"
        " listener and by hand",
    ),
    "key_prefix": Option(
        parse_name,
        Config.key_prefix,
        "text that every Redis key of the listeners begins with, the same on all hosts; without white space,"
        " slashes and braces",
    ),
    "host": Option(
        parse_name,
        None,
        "name of this host; each host that shares the Redis must have a different name; without white space,"
        " slashes and braces",
        shown_default="this machine's name",
    ),
    "heartbeat": Option(
        parse_positive_duration,
        Config.heartbeat_seconds,
        "interval at which the listener reports its workers to the other listeners; workers of a listener"
        f" that is silent for 3 heartbeats do not count as in service; {_DURATION}",
    ),
    "slot_ttl": Option(
        parse_positive_duration,
        Config.slot_ttl_seconds,
        "how long a slot stays taken after the last report of its listener; a dead host can block the pool"
        f" for this time; {_DURATION}, at least {SLOT_TTL_HEARTBEATS} heartbeats",
    ),
    "poll_interval": Option(
        parse_positive_duration,
        Config.poll_interval_seconds,
        f"interval at which a draining worker is looked at; {_DURATION}",
    ),
    "min_free": Option(
        parse_size,
        Config.min_free,
        "when this machine, or its control group, has less memory left, the largest worker of the pools that"
        f" yield is replaced before the kernel chooses a process to kill; {_SIZE}",
        shown_default="none",
    ),
    "journal": Option(
        parse_path,
        Config.journal,
        "file in which the listener records its drains, so that it can continue them after a restart;"
        " an absolute path in a directory that only the listener's user can write to",
        shown_default="a file of its own per supervisord",
    ),
    "dry_run": Option(
        parse_yes_no,
        Config.dry_run,
        "only log what would be done: send no signal, start and stop nothing, write nothing to Redis;"
        " yes or no",
    ),
    "log_level": Option(
        parse_choice("debug", "info", "warning", "error"),
        Config.log_level,
        "lowest level of the events that are logged; debug, info, warning or error",
    ),
    "hook": Option(
        parse_hook,
        Config.hook,
        "command, run without a shell, that gets each event of hook_events as JSON on its standard input",
    ),
    "hook_events": Option(
        parse_events, Config.hook_events, f"events for the hook; {_EVENTS}", shown_default=_BY_DEFAULT
    ),
    "hook_timeout": Option(
        parse_positive_duration,
        Config.hook_timeout_seconds,
        "longest time that the hook may take for one event; then it is ended, with all processes that it"
        f" started; {_DURATION}",
    ),
    "notify": Option(
        parse_urls,
        Config.notify,
        "one or more URLs of apprise (mailto://, slack://, json:// and many more), separated by spaces, that"
        " get a message about the events of notify_events; needs supervisor-memkill[notify]",
        shown_default=f"{NOTIFY_VARIABLE}, else none",
    ),
    "notify_events": Option(
        parse_events, Config.notify_events, f"events for notify; {_EVENTS}", shown_default=_BY_DEFAULT
    ),
    "metrics_textfile": Option(
        parse_textfile,
        Config.metrics_textfile,
        "file for the metrics, in the directory that node_exporter's textfile collector reads; an absolute"
        " path that ends in .prom; needs supervisor-memkill[metrics]",
    ),
    "metrics_listen": Option(
        parse_listen,
        Config.metrics_listen,
        "address at which Prometheus can read the metrics by HTTP; a port such as 9110, which means"
        " 127.0.0.1:9110, or IP-ADDRESS:PORT; needs supervisor-memkill[metrics]",
    ),
}
"""The keys of ``[memkill]``, all optional."""

POOL_KEYS: Mapping[str, Option] = {
    "programs": Option(
        parse_words,
        None,
        "names of the supervised processes in the pool: one or more patterns (with *, ? and [...]) for"
        " group:name or group, separated by spaces or commas; if several pools match a worker, the most"
        " specific pattern wins",
        shown_default="NAME",
    ),
    "worker": Option(
        str.strip,
        PoolConfig.worker,
        "kind of the workers: plain, custom, sidekiq, resque, rq, celery, dramatiq, huey, arq, taskiq,"
        " laravel, horizon, messenger, djangoq, delayed_job, auto (recognised from the command line), or a"
        " kind that another package adds",
    ),
    "max_rss": Option(
        parse_size,
        None,
        f"the limit: a worker that uses more memory is drained; {_SIZE}",
        shown_default="required",
    ),
    "hard_max_rss": Option(
        parse_size,
        PoolConfig.hard_max_rss,
        "hard limit: a worker that uses more memory is stopped without waiting for its running jobs;"
        f" must be above max_rss; {_SIZE}",
    ),
    "yields": Option(
        parse_yields,
        PoolConfig.yields,
        "whether a worker of this pool may be replaced when the machine has less than min_free left: yes (if"
        " enough others are in service, as for any drain), no, or always (when no time is left, even if no"
        " other is in service)",
    ),
    "measure": Option(
        measure_parser([measure for measure in MEASURES if can_measure(measure)]),
        PoolConfig.measure,
        "how memory is measured: rss (all memory of the process), pss (shared memory is divided among the"
        " processes that share it), uss (only memory that no other process shares), rss+swap or pss+swap"
        " (with the memory that was moved to swap); pss and swap need Linux",
        shown_default="rss; for celery, dramatiq, huey, taskiq, horizon, djangoq pss",
    ),
    "children": Option(
        parse_children,
        PoolConfig.children,
        "whether the memory of a worker's child processes is added; auto (as the kind needs it), yes or no",
        shown_default="auto",
    ),
    "strikes": Option(
        parse_whole(1),
        PoolConfig.strikes,
        "number of checks in a row that must find a worker over its limit before it is drained; a whole"
        " number, 1 or more",
    ),
    "min_uptime": Option(
        parse_duration,
        PoolConfig.min_uptime_seconds,
        f"how long a worker must have run before it may be drained; {_DURATION}",
    ),
    "min_available": Option(
        parse_whole(0),
        PoolConfig.min_available,
        "number of other workers of the pool, on all hosts together, that must be in service before a worker"
        " is taken out of service; a whole number, 0 or more",
    ),
    "max_draining": Option(
        parse_whole(1),
        PoolConfig.max_draining,
        "number of workers of the pool, on all hosts together, that may drain at the same time; a whole"
        " number, 1 or more",
    ),
    "drain_timeout": Option(
        parse_positive_duration,
        PoolConfig.drain_timeout_seconds,
        f"how long a drain waits for the running jobs; then it does what on_timeout says; {_DURATION}",
        shown_default="1h; for kinds that drain by stopping, stopwaitsecs in supervisord",
    ),
    "on_timeout": Option(
        parse_on_timeout,
        PoolConfig.on_timeout,
        "what a drain does after drain_timeout: stop (stop the worker, although jobs are running; but wait on"
        " while settings of supervisord or of the worker would lose these jobs), wait (wait on) or resume"
        " (give up, and let the worker take jobs again, if its kind can)",
    ),
    "cooldown": Option(
        parse_duration,
        PoolConfig.cooldown_seconds,
        f"time between the end of one drain and the start of the next one in the pool; {_DURATION}",
    ),
    "settle": Option(
        parse_duration,
        PoolConfig.settle_seconds,
        f"how long a new process must have run before it counts as in service; {_DURATION}",
    ),
    "protect_jobs": Option(
        parse_words,
        PoolConfig.protect_jobs,
        "job classes that are not interrupted: while such a job runs, a drain neither begins nor times out"
        " (hard_max_rss still stops the worker); one or more patterns (with *, ? and [...]), separated by"
        " spaces or commas",
    ),
    "max_total_rss": Option(
        parse_size,
        PoolConfig.max_total_rss,
        "limit for all workers of the pool on this host together: above it the largest one is drained, one"
        f" at a time; {_SIZE}",
    ),
    "warn_rss": Option(
        parse_size,
        PoolConfig.warn_rss,
        "a worker that uses more memory is reported (worker.near_limit) and not drained; a size such as"
        " 500MB, or a share of max_rss such as 80%",
    ),
    "max_age": Option(
        parse_positive_duration,
        PoolConfig.max_age_seconds,
        "a worker that has run for about this time is drained; each worker has its own age limit between 90%"
        f" and 100% of this time; {_DURATION}",
    ),
    "before_stop": Option(
        parse_before_stop,
        PoolConfig.before_stop,
        "command, run without a shell once in each drain, while the worker is quiet and idle, before it is"
        " stopped: for a dump of its memory; %(pid)s, %(group)s, %(name)s, %(host)s and %(pool)s are filled"
        " in; only for kinds that can be quieted",
    ),
    "before_stop_timeout": Option(
        parse_positive_duration,
        PoolConfig.before_stop_timeout_seconds,
        "longest time that before_stop may take; then it is ended, with all processes that it started, and"
        f" the drain goes on; {_DURATION}",
    ),
    "drain_hours": Option(
        parse_drain_hours,
        PoolConfig.drain_hours,
        "hours in which drains may begin, by this machine's local time (hard_max_rss counts at any hour); one"
        " or more windows such as 22:00-06:00 or Mon-Fri 22:00-06:00, separated by commas",
    ),
    "redis": Option(
        parse_redis,
        PoolConfig.redis,
        f"URL ({_REDIS_URL}) of the Redis in which the framework keeps its jobs and the records of its"
        " workers",
        shown_default="that of [memkill]",
    ),
    "redis_file": Option(parse_path, PoolConfig.redis_file, f"{_REDIS_FILE}, in place of redis"),
    "key_namespace": Option(
        parse_namespace,
        PoolConfig.key_namespace,
        "text that the framework puts before its Redis keys, such as Sidekiq's redis-namespace or RQ's"
        " prefix; without white space",
    ),
}
"""The keys that every ``[memkill:NAME]`` has. All but `REQUIRED` are optional."""

REQUIRED = "max_rss"
TEMPLATES = frozenset({"before_stop"})
"""The keys with placeholders of their own, such as ``%(pid)s``; their parsers refuse others."""


def default_text(option: Option) -> str:
    """The default as it stands in a configuration file, or in words where no value says it.

    A number that is not whole counts as seconds.
    """
    default = option.default
    if option.shown_default:
        return option.shown_default
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, enum.Enum):
        return str(default.value)
    if isinstance(default, float):
        return write_duration(default)
    if default is None or default in ("", ()):
        return "none"
    return ", ".join(default) if isinstance(default, tuple) else str(default)
