"""The environment that a command by hand reads the configuration with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from supervisor import datatypes

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


def test_names_are_filled_in_as_supervisord_does(tmp_path: Path) -> None:
    text = (
        '[supervisord]\nenvironment = PW="%(ENV_A)s%%40"\n'
        f'{LISTENER}environment = URL="redis://:%(ENV_PW)s@h/0",WHO="%(program_name)s_%(process_num)d"\n'
    )
    found = _by_hand(tmp_path, text, {"A": "a"})
    assert (found["PW"], found["URL"], found["WHO"]) == ("a%40", "redis://:a%40@h/0", "memkill_0")


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
