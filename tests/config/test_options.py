"""What the table of keys says about itself; the documentation is made from it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, default_text
from supervisor_memkill.config.parsers import measure_parser
from supervisor_memkill.coordination.contract import MAX_SILENT_HEARTBEATS
from supervisor_memkill.processes import MEASURES
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.workers.registry import BUILT_IN, load_kind

ALL = {
    **{f"[memkill] {key}": option for key, option in GLOBAL_KEYS.items()},
    **{f"[memkill:NAME] {key}": option for key, option in POOL_KEYS.items()},
    **{f"{kind} {key}": option for kind in BUILT_IN for key, option in load_kind(kind).options.items()},
}


@pytest.mark.parametrize("option", ALL.values(), ids=ALL)
def test_the_text_of_a_default_parses_to_the_default_or_says_it_in_words(option: Option) -> None:
    text = default_text(option)
    if option.shown_default or text == "none":
        assert option.default in (None, "", ())
    else:
        assert option.parse(text) == option.default


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (10.0, "10s"),
        (3600.0, "1h"),
        (0.5, "500ms"),
        (90.0, "90s"),
        (0.0, "0s"),
        (1, "1"),
        (True, "yes"),
        (False, "no"),
        (None, "none"),
        ("", "none"),
        ((), "none"),
        (("a", "b"), "a, b"),
        ("stop", "stop"),
    ],
)
def test_a_default_is_written_as_in_a_file(default: Any, text: str) -> None:
    assert default_text(Option(str, default, "help")) == text


def test_words_in_place_of_a_default_go_first() -> None:
    assert (
        default_text(Option(str, None, "help", shown_default="this machine's name")) == "this machine's name"
    )


@pytest.mark.parametrize("option", ALL.values(), ids=ALL)
def test_a_help_text_is_one_phrase(option: Option) -> None:
    assert option.help == option.help.strip()
    assert "\n" not in option.help
    assert not option.help.endswith(".")


def test_help_texts_name_every_kind_and_the_limits_of_the_code() -> None:
    assert all(kind in POOL_KEYS["worker"].help for kind in BUILT_IN)
    assert f"silent for {MAX_SILENT_HEARTBEATS} heartbeats" in GLOBAL_KEYS["heartbeat"].help
    measured_otherwise = {
        kind
        for kind in BUILT_IN
        if load_kind(kind).traits_for({key: o.default for key, o in load_kind(kind).options.items()}).measure
        != "rss"
    }
    shown = POOL_KEYS["measure"].shown_default
    assert {kind for kind in BUILT_IN if kind in shown} == measured_otherwise


@pytest.mark.parametrize("text", ["pss", "rss+swap", "PSS+swap"])
def test_measure_that_this_system_does_not_have_is_refused_in_one_line(text: str) -> None:
    """macOS measures rss and uss, other systems without Linux's /proc measure rss alone."""
    assert measure_parser(MEASURES)(text) == text.lower()
    with pytest.raises(ValueError, match=r"^one of rss, uss \(this system supports no other measure\)$"):
        measure_parser(["rss", "uss"])(text)
