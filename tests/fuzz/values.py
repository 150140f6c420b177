"""What the tests are fed with: texts, JSON, right ones with something wrong in them."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]

TEXTS = st.text(max_size=30)
"""Any text that UTF-8 can hold."""
ENVIRONMENT_TEXTS = st.binary(max_size=12).filter(lambda text: b"\0" not in text).map(os.fsdecode)
"""As arguments and the environment give them: what is no UTF-8 stands there as lone surrogates."""
LONE_HALVES = st.text(st.characters(categories=("Cs", "L", "Zs", "Cc")), max_size=8)
"""With lone surrogates, as escapes in JSON give them."""
WHOLES = st.one_of(
    st.integers(-3, 200), st.integers(), st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**25, 10**320])
)
NUMBERS = st.one_of(WHOLES, st.floats())
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4))
)
DEEP = "[" * 99_999
NUMBER_TEXTS = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        "1_0",
        " 5 ",
        "٣",
        "²",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e5",
        "0x10",
        "+3",
        "1.0",
        "",
        "9" * 30,
        "9" * 400,
        "9" * 5000,
        "1" + "0" * 320,
    ]
)


@st.composite
def near(draw: Draw, texts: st.SearchStrategy[str]) -> str:
    """A right text with up to three small things wrong in it."""
    text: str = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 8)))
        between = draw(
            st.one_of(st.just(""), st.text(max_size=3), st.just(text[begin:end] * 2), NUMBER_TEXTS)
        )
        text = text[:begin] + between + text[end:]
    return text


@st.composite
def near_json(draw: Draw, value: Any, replacements: st.SearchStrategy[Any] = JSON) -> Any:
    """A copy of a JSON value with one to three of its parts replaced, left out, or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            return draw(replacements)
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "leave out", "add"]))
        if how == "replace":
            holder[key] = draw(replacements)
        elif how == "leave out":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(TEXTS)] = draw(replacements)
        else:
            holder.insert(key, draw(replacements))
    return value


def _places(value: Any) -> Sequence[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key])
    return found


def is_whole(value: object, least: int | None = 0) -> bool:
    """An int that is no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def is_number(value: object) -> bool:
    """A number that can be reckoned with."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64


def assert_one_line(text: str) -> None:
    """What an operator is told fits into one line, and is something."""
    assert text.strip(), "nothing is said"
    assert text.splitlines() == [text], f"more than one line: {text!r}"


def to_text(value: Any) -> str:
    """The value as JSON; NaN and the infinities as Python writes them."""
    return json.dumps(value)
