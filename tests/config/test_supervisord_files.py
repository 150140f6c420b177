"""supervisord's own files: found, with the files that they include, and the address for supervisorctl."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervisor_memkill.commands import which
from supervisor_memkill.config.sections import ParsedFiles, read_file
from supervisor_memkill.config.supervisord_files import (
    DEFAULT_SERVERURL,
    find_supervisord_config,
    read_supervisord,
    reader,
    server_address,
)
from supervisor_memkill.errors import ConfigError
from tests.conftest import StartSupervisord
from tests.real_supervisord import program


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _read(directory: Path, text: str) -> ParsedFiles:
    return read_file(_write(directory / "memkill.conf", text))


def _values(reading: ParsedFiles) -> dict[str, dict[str, str]]:
    return {
        section.name: {entry.key: entry.value for entry in section.entries} for section in reading.sections
    }


@pytest.mark.real
def test_a_running_supervisords_own_files_are_read_with_those_that_they_include(
    start_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    included = tmp_path / "included.conf"
    sleeper = f"{sys.executable} -c 'import time; time.sleep(999)'"
    included.write_text(program("together", sleeper, stopasgroup="true"))
    supervisord = start_supervisord(f"{program('alone', sleeper)}\n[include]\nfiles = {included}\n")
    read = reader(which.file_of(which.by_hand(supervisord.url, supervisord.proxy.pid(), {})), {})
    assert (read()("alone", "alone"), read()("together", "together")) == (False, True)
    included.write_text(program("together", sleeper))
    assert read()("together", "together") is False, "read anew each time"


@pytest.mark.parametrize(
    "text", ["no section", "[program:x]\nstopasgroup\n", "\xff", "[include]\nfiles = %(no)s"]
)
def test_a_file_that_cannot_be_read_tells_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_bytes(text.encode("latin-1"))
    assert reader(path, {})()("x", "x") is None
    assert reader(tmp_path / "absent", {})()("x", "x") is None
    assert reader(None, {})()("x", "x") is None


def _supervisord(directory: Path, files: str, environ: Mapping[str, str] | None = None) -> ParsedFiles:
    path = _write(directory / "supervisord.conf", f"[supervisord]\n[include]\nfiles = {files}\n")
    return read_supervisord(path, environ or {}, "node")


def test_included_files_are_read_in_supervisords_order(tmp_path: Path) -> None:
    for name in ("conf.d/b.conf", "conf.d/a.conf", "conf.d/.hidden.conf", "other/c.ini", "conf.d/no.txt"):
        _write(tmp_path / name, f"[memkill:{Path(name).stem}]\njournal = %(here)s\n")
    (tmp_path / "conf.d/directory.conf").mkdir()
    reading = _supervisord(tmp_path, f"other/*.ini {tmp_path}/conf.d/*.conf conf.d/missing*")
    assert _values(reading) == {
        "memkill:c": {"journal": str(tmp_path / "other")},
        "memkill:a": {"journal": str(tmp_path / "conf.d")},
        "memkill:b": {"journal": str(tmp_path / "conf.d")},
    }


def test_the_names_in_files_are_filled_in(tmp_path: Path) -> None:
    for name in ("here", "node", "env"):
        _write(tmp_path / name / "x.conf", f"[memkill:{name}]\n")
    files = "%(here)s/here/*.conf %(host_node_name)s/*.conf\n  %(ENV_WHERE)s/x.conf"
    reading = _supervisord(tmp_path, files, {"WHERE": "env"})
    assert list(_values(reading)) == ["memkill:here", "memkill:node", "memkill:env"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ("%(ENV_NO)s/x", "[include] files: %(ENV_NO)s is not known here"),
        ("50%", "a lone %"),
        ("%(ENV_HOME)/x", "%(ENV_HOME) lacks its s: write %(ENV_HOME)s"),
    ],
)
def test_a_name_in_files_that_is_not_known_is_told(tmp_path: Path, files: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _supervisord(tmp_path, files)
    assert f"{tmp_path}/supervisord.conf:3: " in str(refused.value)
    assert told in str(refused.value)


def test_of_several_include_sections_the_last_one_with_files_counts(tmp_path: Path) -> None:
    """As in supervisord, whose parser merges sections of one name."""
    for name in ("a", "b", "c"):
        _write(tmp_path / f"{name}.conf", f"[memkill:{name}]\n")
    text = "[include]\nfiles = a.conf\n[include]\nfiles = c.conf\nfiles = b.conf\n[include]\n"
    path = _write(tmp_path / "supervisord.conf", text)
    assert list(_values(read_supervisord(path, {}, "node"))) == ["memkill:b"]


def test_sections_of_supervisorctl_in_one_file_are_merged_and_those_of_other_files_are_ignored(
    tmp_path: Path,
) -> None:
    _write(tmp_path / "a.conf", "[supervisorctl]\nserverurl = http://localhost:3\n")
    first = "[supervisorctl]\nserverurl = http://localhost:1\nusername = me\n[include]\nfiles = a.conf\n"
    text = f"{first}[supervisorctl]\nserverurl = http://localhost:2\n"
    path = _write(tmp_path / "supervisord.conf", text)
    address = server_address(read_supervisord(path, {}, "node").supervisorctl, {})
    assert (address.serverurl, address.username) == ("http://localhost:2", "me")


def test_an_included_file_includes_none(tmp_path: Path) -> None:
    _write(tmp_path / "a.conf", "[include]\nfiles = b.ini\n")
    _write(tmp_path / "b.ini", "[memkill]\n")
    assert _supervisord(tmp_path, "a.conf").sections == ()


def test_a_file_that_two_patterns_name_is_read_once(tmp_path: Path) -> None:
    _write(tmp_path / "a.conf", "[memkill]\nhost = a\n")
    assert _supervisord(tmp_path, "*.conf a.conf").problems == ()


def test_a_section_that_stands_in_two_files_is_a_problem_that_names_both(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.conf", "\n[memkill]\n")
    second = _write(tmp_path / "b.conf", "[memkill]\n")
    assert _supervisord(tmp_path, "*.conf").problems == (
        f"{second}:1: [memkill] stands at {first}:2 already",
    )


def test_the_groups_of_all_event_listeners_are_known(tmp_path: Path) -> None:
    _write(
        tmp_path / "a.conf", "[eventlistener:memkill]\ncommand = x\n[program:y]\n[eventlistener:mon] ; z\n"
    )
    assert _supervisord(tmp_path, "a.conf").eventlistener_groups == {"memkill", "mon"}


def test_supervisorctls_section_is_read_as_supervisorctl_does(tmp_path: Path) -> None:
    text = "[supervisorctl]\nserverurl = unix://%(here)s/../s.sock\nusername = a%%b\npassword = %(ENV_PW)s\n"
    path = _write(tmp_path / "x/supervisord.conf", text)
    address = server_address(read_supervisord(path, {}, "node").supervisorctl, {"PW": "c"})
    assert (address.serverurl, address.username, address.password) == (
        f"unix://{tmp_path}/s.sock",
        "a%b",
        "c",
    )


@pytest.mark.parametrize("text", ["[supervisord]\n", "[supervisorctl]\nprompt = x\n"])
def test_without_an_address_it_is_supervisorctls_default(tmp_path: Path, text: str) -> None:
    address = server_address(_read(tmp_path, text).supervisorctl, {})
    assert (address.serverurl, address.username, address.password) == (DEFAULT_SERVERURL, None, None)


def test_a_name_in_supervisorctls_section_that_is_not_known_is_told_without_the_value(tmp_path: Path) -> None:
    section = _read(tmp_path, "[supervisorctl]\npassword = s3cret%(ENV_PW)s\n").supervisorctl
    with pytest.raises(ConfigError) as refused:
        server_address(section, {})
    assert "memkill.conf:2: [supervisorctl] password: %(ENV_PW)s is not known here" in str(refused.value)
    assert "s3cret" not in str(refused.value)


PLACES = [
    "/venv/etc/supervisord.conf",
    "/venv/supervisord.conf",
    "/srv/supervisord.conf",
    "/srv/etc/supervisord.conf",
    "/etc/supervisord.conf",
    "/etc/supervisor/supervisord.conf",
]


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_supervisords_configuration_is_found_where_supervisorctl_finds_it(first: int) -> None:
    present = {Path(place) for place in PLACES[first:]}
    found = find_supervisord_config(Path("/venv/bin/supervisor-memkill"), Path("/srv"), present.__contains__)
    assert found == Path(PLACES[first])


def test_no_configuration_of_supervisord_is_none() -> None:
    assert find_supervisord_config(Path("bin/x"), Path("/srv"), lambda _: False) is None


def test_included_file_that_cannot_be_read_is_passed_over_as_supervisord_does(tmp_path: Path) -> None:
    """A link to nowhere in conf.d, or a file of another user: supervisord goes on without it, too."""
    main = _write(tmp_path / "supervisord.conf", "[include]\nfiles = conf.d/*.conf\n")
    _write(tmp_path / "conf.d/b.conf", "[memkill:jobs]\nmax_rss = 1GB\n")
    (tmp_path / "conf.d/a.conf").symlink_to("nowhere")
    reading = read_supervisord(main, {}, "node")
    assert [section.name for section in reading.sections] == ["memkill:jobs"]
    assert len(reading.unread) == 1 and "a.conf: cannot be read: No such file" in reading.unread[0]
