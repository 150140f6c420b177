"""Texts of configuration files: ours and supervisord's, right in part."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.workers import registry
from tests.fuzz.values import NUMBER_TEXTS, TEXTS, near

KIND_KEYS = sorted({key for name in registry.BUILT_IN for key in registry.load_kind(name).options})
KEYS = st.sampled_from([*GLOBAL_KEYS, *POOL_KEYS, *KIND_KEYS])
REDIS_URLS = st.sampled_from(
    [
        "redis://127.0.0.1:1/0",
        "unix:///nowhere/redis.sock",
        "rediss://127.0.0.1:1/0",
        "redis://u:pass@127.0.0.1:1",
    ]
)
"""Well-formed, and nobody there."""
RIGHT: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("max_rss", "hard_max_rss"), st.sampled_from(["200MB", "80%", "1.5GB", "1", "0.1%"])),
    **dict.fromkeys(
        ("strikes", "min_available", "max_draining"), st.sampled_from(["0", "1", "2", "999999999"])
    ),
    **dict.fromkeys(("dry_run", "children"), st.sampled_from(["yes", "no", "auto"])),
    "programs": st.sampled_from(["jobs", "jobs:*", "[a-z]*:x? other", "*"]),
    "worker": st.sampled_from([*registry.BUILT_IN, "sidekik", "Plain"]),
    "redis": REDIS_URLS,
    "measure": st.sampled_from(["rss", "pss", "uss", "rss+swap", "pss+swap"]),
    "on_timeout": st.sampled_from(["stop", "wait", "resume"]),
    "host": st.sampled_from(["web1", "web:1"]),
    "key_prefix": st.sampled_from(["memkill", "m:k"]),
    "log_level": st.sampled_from(["debug", "error"]),
    "journal": st.sampled_from(["%(here)s/own/memkill.journal", "/", "/nowhere/x"]),
    "protect_jobs": st.sampled_from(["Billing*", "A, B"]),
    "quiet_signal": st.sampled_from(["TSTP", "20"]),
    "quiet_command": st.sampled_from(["true %(pid)s", "kill -TSTP %(pid)s"]),
    "resume_signal": st.sampled_from(["CONT"]),
    "busy_key": st.sampled_from(["busy:%(name)s"]),
    "busy_command": st.sampled_from(["echo 0"]),
    "key_namespace": st.sampled_from(["app"]),
    "broker": st.sampled_from(["amqp://u:p@127.0.0.1:1/v", "redis://127.0.0.1:1/0"]),
    "command_has": st.sampled_from(["jobs"]),
}
DURATIONS = st.sampled_from(["0", "1", "90s", "5m", "1h", "500ms", "36500d"])


@st.composite
def entries(draw: st.DrawFn, values: st.SearchStrategy[str] | None = None) -> str:
    key = draw(KEYS)
    right = RIGHT.get(key, DURATIONS)
    value = draw(
        st.one_of(right, right, near(right), TEXTS, NUMBER_TEXTS)
        if key != "redis"
        else right
        if values is None
        else values
    )
    written = draw(st.sampled_from([key, key, key, key.upper(), key.replace("_", "-"), key[:-1] or "x"]))
    comment = draw(st.sampled_from(["", "", "", " ; why", " # why", "\n  more", "\n; whole line"]))
    return f"{written}{draw(st.sampled_from([' = ', '=', ': ']))}{value}{comment}"


HEADS = st.one_of(
    st.sampled_from(
        ["[memkill]", "[memkill:jobs]", "[memkill:other]", "[memkil:x]", "[program:jobs]", "[include]"]
    ),
    st.sampled_from(
        ["[supervisorctl]", "[eventlistener:memkill]", " [memkill:jobs]", "[memkill:]", "[group:g]"]
    ),
    near(st.just("[memkill:jobs]")),
)
LINES = st.one_of(
    st.sampled_from(["serverurl = unix:///nowhere/s.sock", "serverurl = http://127.0.0.1:1", "username = u"]),
    st.sampled_from(
        ["files = *.conf", "files = %(here)s/x*.conf", "stopasgroup = true", "programs = jobs,other"]
    ),
    near(st.sampled_from(["serverurl = unix://~x/s.sock", "files = a* [b] %(ENV_HOME)s", "stopasgroup=yes"])),
    TEXTS,
)


def is_small(text: str) -> bool:
    """It asks for no text that is wider than memory: %(here)99999999s would be filled in, at that width."""
    return not re.search(r"%[^%]*[0-9.*]{5}", text)


def files(
    redis: st.SearchStrategy[str] | None = None, *, ours: st.SearchStrategy[str] | None = None
) -> st.SearchStrategy[str]:
    """Whole files. `redis`: what may stand for a URL."""
    line = st.one_of(entries(redis), entries(redis), entries(redis), LINES if ours is None else ours)
    section = st.tuples(HEADS, st.lists(line, max_size=6)).map(lambda parts: "\n".join([parts[0], *parts[1]]))
    whole = st.lists(section, max_size=4).map(lambda sections: "\n".join(sections) + "\n")
    return whole.filter(is_small)


def pools(redis: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    """A pool that is right as far as its required key goes, with anything after it."""
    more = st.lists(entries(redis), max_size=4).map("\n".join)
    return more.map(lambda text: f"[memkill:jobs]\nmax_rss = 200MB\n{text}\n").filter(is_small)
