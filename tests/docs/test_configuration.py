"""The options and the examples are read by our parser and by supervisord, and say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from supervisor_memkill.config.load import load
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.contract import Option, Tools
from supervisor_memkill.workers.registry import BUILT_IN, load_kind
from tests.docs.pages import DOCS, EXAMPLES, README, REFERENCE, ROOT, blocks, name_of, script

APPLICATIONS = ("frappe",)
"""Examples for an application whose workers are those of a framework that has a kind."""
OF_KINDS = [path for path in EXAMPLES if path.stem in (*BUILT_IN, *APPLICATIONS)]
REFUSING: Mapping[str, Mapping[str, str]] = {
    "celery": {"stopsignal": "QUIT"},
    "rq": {"stopsignal": "USR1", "stopwaitsecs": "60"},
    "dramatiq": {"stopsignal": "HUP", "stopwaitsecs": "60", "stopasgroup": "true"},
    "huey": {"stopsignal": "TERM", "stopwaitsecs": "60"},
    "arq": {"stopsignal": "HUP", "stopwaitsecs": "300"},
    "taskiq": {"stopsignal": "HUP", "stopwaitsecs": "60"},
    "laravel": {"stopsignal": "INT", "stopwaitsecs": "300"},
    "horizon": {"stopsignal": "QUIT", "stopwaitsecs": "300"},
    "messenger": {"stopsignal": "USR1", "stopwaitsecs": "300"},
    "djangoq": {"stopsignal": "QUIT", "stopwaitsecs": "300", "stopasgroup": "true"},
    "delayed_job": {"stopsignal": "QUIT", "stopwaitsecs": "300"},
    "frappe": {"stopwaitsecs": "10"},
}
"""Settings of these examples that their kind refuses to drain with. The other kinds refuse none of these."""


def read_config(path: Path) -> Config:
    return load(read_file(path), {}, "here", load_kind)


def read_by_supervisord(path: Path, tmp_path: Path) -> Any:
    """What supervisord makes of the file; directories that only an installed system has are replaced."""
    text = path.read_text().replace("/var/log/supervisor", str(tmp_path)).replace("/srv/app", str(tmp_path))
    included = tmp_path / "included.conf"
    included.write_text(text)
    main = tmp_path / "supervisord.conf"
    main.write_text(f"[supervisord]\nlogfile={tmp_path}/log\n[include]\nfiles={included}\n")
    options: Any = ServerOptions()
    options.configfile = str(main)
    options.process_config(do_usage=False)
    assert options.process_group_configs
    return options.process_group_configs


# --- generated parts -----------------------------------------------------------------------------


def test_generated_parts_are_what_the_code_says() -> None:
    """Otherwise run scripts/build-docs.py."""
    for path, text in script("build-docs.py")["generate"]().items():
        assert path.read_text() == text, name_of(path)


def test_every_option_of_the_code_has_its_table() -> None:
    """Each part that the script can write stands in a page, unless the kind has no options."""
    pages = "".join(path.read_text() for path in DOCS.rglob("*.rst"))
    kinds = [kind for kind in BUILT_IN if load_kind(kind).options]
    for name in ("[memkill]", "[memkill:NAME]", *kinds):
        assert f".. begin: options of {name}\n" in pages, name


# --- conf.d --------------------------------------------------------------------------------------


def commented(path: Path) -> Iterator[tuple[str, str, str]]:
    """Section or comment before it, key and value of each option behind a semicolon without a space."""
    place = ""
    for line in path.read_text().splitlines():
        if heading := re.fullmatch(r"\[(.+)\]|; Only with worker = (\w+):", line):
            place = heading[1] or heading[2]
        elif option := re.fullmatch(r";(\w+) = ?(.*)", line):
            yield place, option[1], option[2]


def test_reference_has_every_option_with_its_default() -> None:
    """Removing a semicolon changes nothing, where a value stands behind it."""
    sections: dict[str, Mapping[str, Option]] = {"memkill": GLOBAL_KEYS, "memkill:NAME": POOL_KEYS}
    sections |= {kind: load_kind(kind).options for kind in BUILT_IN if load_kind(kind).options}
    found: dict[str, set[str]] = {section: set() for section in sections}
    for section, key, value in commented(REFERENCE):
        found[section].add(key)
        option = sections[section][key]
        assert value == "" or option.parse(value) == option.default, key
    found["memkill:NAME"].add("max_rss")
    assert found == {section: set(options) for section, options in sections.items()}


def test_reference_with_every_default_set_is_the_default_configuration(tmp_path: Path) -> None:
    text = REFERENCE.read_text().partition("; Only with worker")[0]
    given = tmp_path / "given.conf"
    given.write_text(re.sub(r"^;(\w+ = .+)$", r"\1", text, flags=re.MULTILINE))
    assert given.read_text() != text
    assert read_config(given) == read_config(REFERENCE)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_example_is_read_by_both(path: Path, tmp_path: Path) -> None:
    (pool,) = read_config(path).pools
    assert pool.max_rss is not None
    read_by_supervisord(path, tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_option_in_a_comment_of_an_example_exists(path: Path) -> None:
    """``; key = value`` can be used as it stands."""
    (pool,) = read_config(path).pools
    options = {**GLOBAL_KEYS, **POOL_KEYS, **load_kind(pool.worker).options}
    for key, value in re.findall(r"^; (\w+) = (.+)$", path.read_text(), re.MULTILINE):
        if key != "environment":
            options[key].parse(value)


def programs_of(path: Path, tmp_path: Path, **replaced: str) -> list[ProgramInfo]:
    """The programs of an example as supervisord reports them, with some of its settings replaced."""
    text = path.read_text()
    for key, value in replaced.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    changed = tmp_path / "changed.conf"
    changed.write_text(text)
    return [
        ProgramInfo(
            group=group.name,
            name=one.name,
            command=one.command,
            stopsignal=int(one.stopsignal),
            stopwaitsecs=one.stopwaitsecs,
            killasgroup=one.killasgroup,
            group_priority=group.priority,
            stopasgroup=one.stopasgroup,
        )
        for group in read_by_supervisord(changed, tmp_path)
        for one in group.process_configs
    ]


def advice_on(pool: PoolConfig, program: ProgramInfo) -> Sequence[Any]:
    tools = Tools(redis=lambda: None, signal=lambda worker, name: None, clock=lambda: 0.0, host="here")
    kind = load_kind(pool.worker)(pool.kind_values, tools)
    return kind.advice(program, pool.drain_timeout_seconds)


@pytest.mark.parametrize("path", OF_KINDS, ids=name_of)
def test_example_of_a_kind_follows_all_of_its_advice(path: Path, tmp_path: Path) -> None:
    """Whoever copies it is told nothing, and drains begin."""
    (pool,) = read_config(path).pools
    programs = programs_of(path, tmp_path)
    assert programs
    for program in programs:
        assert list(advice_on(pool, program)) == []


@pytest.mark.parametrize(
    ("kind", "setting"), [(kind, setting) for kind, settings in REFUSING.items() for setting in settings]
)
def test_example_sets_what_its_kind_refuses_without(kind: str, setting: str, tmp_path: Path) -> None:
    """With another value the kind would refuse every drain."""
    path = ROOT / "conf.d" / f"{kind}.conf"
    (pool,) = read_config(path).pools
    for program in programs_of(path, tmp_path, **{setting: REFUSING[kind][setting]}):
        assert any(advice.refuses for advice in advice_on(pool, program))


def test_custom_example_names_no_command_that_is_missing() -> None:
    """A missing command refuses a drain; the example uses a signal and a key."""
    (pool,) = read_config(ROOT / "conf.d" / "custom.conf").pools
    assert pool.kind_values["quiet_command"] is None
    assert pool.kind_values["busy_command"] is None


# --- configuration in the pages ------------------------------------------------------------------


@pytest.mark.parametrize("path", [README, DOCS / "getting-started.rst"], ids=name_of)
def test_configuration_of_a_page_is_read_by_both(path: Path, tmp_path: Path) -> None:
    (example,) = [block for block in blocks(path) if "[eventlistener:memkill]" in block]
    written = tmp_path / "memkill.conf"
    written.write_text(example)
    (pool,) = read_config(written).pools
    assert (pool.name, pool.worker, str(pool.max_rss)) == ("sidekiq", "sidekiq", "2GB")
    read_by_supervisord(written, tmp_path)


def test_readme_configuration_has_twelve_lines() -> None:
    (example,) = [block for block in blocks(README) if "[eventlistener:memkill]" in block]
    assert len(example.splitlines()) == 12


def test_listener_section_of_the_page_is_that_of_the_example(tmp_path: Path) -> None:
    (section,) = [block for block in blocks(DOCS / "configuration.rst") if block.startswith("[eventlistener")]
    assert section in (ROOT / "conf.d" / "memkill.conf").read_text()


def test_environment_of_the_page_is_read_by_supervisord(tmp_path: Path) -> None:
    (line,) = [block for block in blocks(DOCS / "getting-started.rst") if block.startswith("environment")]
    path = tmp_path / "memkill.conf"
    path.write_text(f"[eventlistener:memkill]\ncommand = true\nevents = TICK_60\n{line}\n")
    (group,) = read_by_supervisord(path, tmp_path)
    (listener,) = group.process_configs
    assert listener.environment.keys() == {"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD"}
