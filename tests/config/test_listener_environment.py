"""The environment that a command by hand reads the configuration with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from supervisor import datatypes, options

from supervisor_memkill.config import ini
from supervisor_memkill.config.listener_environment import by_hand, pairs
from supervisor_memkill.config.supervisord_files import sections_of

LISTENER = "[eventlistener:memkill]\ncommand = supervisor-memkill\n"


def _by_hand(
    directory: Path, text: str, supervisords: Mapping[str, str] | None = None, **shell: str
) -> Mapping[str, str]:
    path = directory / "supervisord.conf"
    path.write_text(text)
    given = supervisords or {}
    return by_hand(sections_of(path, given), given, shell)


def test_the_listeners_environment_counts_for_more_than_supervisords_and_the_shells_for_most(
    tmp_path: Path,
) -> None:
    text = f'[supervisord]\nenvironment = B="2",C="2",D="2"\n{LISTENER}environment = C="3",D="3"\n'
    found = _by_hand(tmp_path, text, {"A": "1", "B": "1", "C": "1", "D": "1"}, D="4")
    assert found == {"A": "1", "B": "2", "C": "3", "D": "4"}


@pytest.mark.parametrize(
    ("supervisords", "listeners"),
    [
        ('A="1",B="%(ENV_HERE_I_AM)s"', 'C="%(ENV_B)s-%(program_name)s_%(process_num)d-%(here)s",D="p%%40s"'),
        ('PW="p%%%%40s"', 'URL="redis://:%(ENV_PW)s@h/0"'),
        ("A=1,\n  B=2", "A='3,4' , C=%(ENV_A)s"),
        ('HOME="/x"', "WHERE=%(host_node_name)s"),
        ("", "A=x"),
        ("A=x", ""),
    ],
)
def test_supervisord_itself_gives_its_listener_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisords: str, listeners: str
) -> None:
    """Read by supervisord's own parser."""
    monkeypatch.setenv("HERE_I_AM", "in the shell")
    path = tmp_path / "supervisord.conf"
    listener = f"{LISTENER}events = TICK_60\nenvironment = {listeners}\n"
    path.write_text(f"[supervisord]\nenvironment = {supervisords}\n{listener}")
    supervisord = options.ServerOptions()
    supervisord.realize(["-c", str(path), "-n"])
    (group,) = supervisord.configroot.supervisord.process_group_configs
    theirs = group.process_configs[0].environment
    ours = by_hand(sections_of(path, dict(os.environ)), {}, {})
    assert theirs == ours


def test_what_supervisord_makes_of_a_single_percent_is_recognised_by_hand_as_well(tmp_path: Path) -> None:
    found = _by_hand(tmp_path, f'{LISTENER}environment = MEMKILL_REDIS="redis://h/0?password=p%40ss"\n')
    assert ini.is_mangled(found["MEMKILL_REDIS"])


def test_of_two_listeners_of_ours_neither_is_chosen(tmp_path: Path) -> None:
    second = LISTENER.replace("memkill]", "second]")
    assert _by_hand(tmp_path, f"{LISTENER}environment = A=1\n{second}environment = A=2\n") == {}


def test_an_environment_of_another_listener_and_one_that_cannot_be_filled_in_are_unknown(
    tmp_path: Path,
) -> None:
    text = f"{LISTENER}environment = A=%(ENV_NO)s\n[eventlistener:mon]\ncommand = memmon\nenvironment = B=1\n"
    assert _by_hand(tmp_path, text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "A=1",
        'A="1,2",B=\'x"y\'',
        "A=/a:b.c(d)+-e,\n  B=2",
        "",
        "A=",
        "A",
        "A=1,",
        'A="1',
        "A=ü,B=€",
        "A = 1 , B=2",
        "A=1 B=2",
    ],
)
def test_pairs_are_read_as_supervisord_reads_them(text: str) -> None:
    try:
        expected = datatypes.dict_of_key_value_pairs(text)
    except ValueError:
        expected = {}
    assert pairs(text) == expected
