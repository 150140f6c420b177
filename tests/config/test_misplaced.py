"""A key of ours in a section of supervisord is named with the section that it belongs in; no other key is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from supervisor import options

from supervisor_memkill.config.misplaced import SUPERVISORDS_KEYS, find
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.workers.registry import BUILT_IN, load_kind

POOLS = (PoolConfig("jobs", ("web", "mail*")), PoolConfig("other", ("else:*",)))
KIND_KEYS = {key for name in BUILT_IN for key in load_kind(name).options}
SECTIONS = ("program:web", "fcgi-program:web", "group:web", "eventlistener:memkill", "supervisord")


def found(path: Path, text: str) -> list[str]:
    """Each line without the path of the file."""
    path.write_text(text)
    return [line.replace(f"{path}:", "") for line in find([path], POOLS, KIND_KEYS)]


@pytest.mark.parametrize(
    ("section", "entry", "right"),
    [
        ("program:web", "max_rss = 500MB", "[memkill:jobs]"),
        ("program:mailer", "max_rss = 500MB", "[memkill:jobs]"),
        ("program:else", "max_rss = 500MB", "[memkill:other]"),
        ("program: alone", "max_rss = 500MB", "[memkill:alone]"),
        ("fcgi-program:web", "strikes = 3", "[memkill:jobs]"),
        ("group:web", "strikes = 3", "[memkill:jobs]"),
        ("program:web", "redis = redis://a/0", "[memkill:jobs]"),
        ("program:web", "quiet_signal = TSTP", "[memkill:jobs]"),
        ("program:web", "heartbeat = 5s", "[memkill]"),
        ("eventlistener:memkill", "redis = redis://a/0", "[memkill]"),
        ("eventlistener:memkill", "MAX_RSS = 1GB", "the section of a pool, [memkill:NAME]"),
        ("supervisord", "redis = redis://a/0", "[memkill]"),
        ("supervisord", "max_rss = 1GB", "the section of a pool, [memkill:NAME]"),
    ],
)
def test_key_of_ours_is_named_with_its_right_section(
    tmp_path: Path, section: str, entry: str, right: str
) -> None:
    (line,) = found(tmp_path / "a.conf", f"[{section}]\n{entry}\n")
    key, _, value = entry.partition(" = ")
    shown = f"2: [{section}] {key.lower()} = {value!r}"
    assert line == f"{shown}: has no effect here, and belongs in {right}"


def test_password_of_a_misplaced_url_is_not_shown(tmp_path: Path) -> None:
    text = "[supervisord]\nredis = redis://u:s3cret@a/0\nnotify = slack://s3cret\n"
    lines = found(tmp_path / "a.conf", text)
    assert len(lines) == 2 and "s3cret" not in "".join(lines)


@pytest.mark.parametrize("section", SECTIONS)
def test_key_of_supervisord_is_never_named(tmp_path: Path, section: str) -> None:
    text = "".join(f"{key} = x\n" for key in sorted(SUPERVISORDS_KEYS))
    assert found(tmp_path / "a.conf", f"[{section}]\n{text}") == []


def test_every_key_that_supervisord_reads_is_known_as_its_own() -> None:
    """Those of ours that stand in its source text; "host" stands there for a part of a parsed address."""
    assert options.__file__ is not None
    in_source = set(re.findall(r"""['"]([a-z_]+)['"]""", Path(options.__file__).read_text()))
    ours = {*GLOBAL_KEYS, *POOL_KEYS, *KIND_KEYS}
    assert ours & in_source - {"host"} <= SUPERVISORDS_KEYS


@pytest.mark.parametrize(
    "text",
    [
        "[program:web]\nmax_memory = 1GB\nhealth_url = http://x\n",
        "[program:web]\nenvironment = A=1,\n  max_rss = 5\n",
        "[program:web]\n; max_rss = 1GB\n",
        "[rpcinterface:other]\nredis = redis://a/0\n",
        "[ctlplugin:other]\nredis = redis://a/0\n",
        "[unix_http_server]\nhost = a\n",
        "[other-tool]\nmax_rss = 1GB\n",
        "[memkill:jobs]\nmax_rss = 1GB\n",
        "[memkill]\nredis = redis://a/0\n",
    ],
)
def test_key_of_another_tool_and_key_in_its_place_are_not_named(tmp_path: Path, text: str) -> None:
    assert found(tmp_path / "a.conf", text) == []


def test_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("not a section\n[program:web]\nmax_rss = 1GB\n")
    assert len(list(find([tmp_path / "none.conf", path], POOLS, ()))) == 1
