"""Requests as they come from outside: every value is checked, and nothing but names and durations gets in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.rules.requests import (
    MAX_BYTES,
    MAX_NAME_LENGTH,
    MAX_NAMES,
    MAX_SECONDS,
    Act,
    Arrival,
    OperatorRequest,
    Pause,
    RunningProcess,
    TakenRequest,
    decode,
    encode,
    unmatched,
)
from tests.builders import PID, START, info

RESTART = OperatorRequest("0123456789abcdef", Act.RESTART, ("sidekiq",), 60.0)


def values(**changes: Any) -> str:
    return json.dumps({**json.loads(encode(RESTART)), **changes})


@pytest.mark.parametrize("act", Act)
def test_request_is_read_as_it_was_written(act: Act) -> None:
    request = OperatorRequest("ab" * 8, act, ("jobs:*", "mail"), 3600.0, except_hard=True)
    assert decode(encode(request)) == request


def test_what_could_not_be_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="not allowed"):
        encode(OperatorRequest("ab" * 8, Act.RESTART, ("a b",), 60.0))


def test_longest_request_is_allowed_and_no_longer_one() -> None:
    longest = encode(RESTART).ljust(MAX_BYTES)
    assert decode(longest) == RESTART
    with pytest.raises(ValueError, match="longer than"):
        decode(f"{longest} ")


def test_longest_name_is_allowed() -> None:
    longest = "x" * MAX_NAME_LENGTH
    assert decode(values(names=[longest])).names == (longest,)


def test_request_of_a_fleet_reaches_its_pool_alone() -> None:
    """Other pools of this host may have workers of the same name."""
    members = {"mail": [info()], "jobs": [info()]}
    here = Arrival(OperatorRequest("ab" * 8, Act.PAUSE, ("*",), None), 0.0, None)
    assert here.reaches(members) == members
    assert here.pools(members) == ("mail", "jobs")
    fleet = Arrival(here.request, 0.0, None, fleet_pool="jobs")
    assert fleet.reaches(members) == {"jobs": members["jobs"]}
    assert fleet.pools(members) == ("jobs",)
    assert Arrival(here.request, 0.0, None, fleet_pool="gone").reaches(members) == {"gone": ()}


@pytest.mark.parametrize(
    ("payload", "wrong"),
    [
        ("", "not JSON"),
        ("[" * 5000, "longer than|not JSON"),
        ("[]", "its version is not 1"),
        (values(version=2), "its version is not 1"),
        (values(act="exec"), "does not know 'exec'"),
        (values(act=None), "not a text"),
        (values(names=[]), f"1 to {MAX_NAMES} names"),
        (values(names=["x"] * (MAX_NAMES + 1)), f"1 to {MAX_NAMES} names"),
        (values(names="sidekiq"), "not a list"),
        (values(names=["a b"]), "not allowed"),
        (values(names=["\x1b[2J"]), "not allowed"),
        (values(names=["x" * 201]), "too long: at most 200"),
        (values(names=[""]), "'' is empty"),
        (values(id="../../etc"), "hexadecimal"),
        (values(lasts_seconds=0), "between 0 and 366 days"),
        (values(lasts_seconds=MAX_SECONDS + 1), "between 0 and 366 days"),
        (values(lasts_seconds="1d"), "not a number"),
        (values(lasts_seconds=None), "needs an end"),
        (values(except_hard="yes"), "neither true nor false"),
        (json.dumps({"version": 1}), "it has no"),
        (values(more="x" * 5000), "longer than 4096 bytes"),
    ],
)
def test_wrong_request_is_refused_with_what_is_wrong(payload: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        decode(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["id", "act", "names", "lasts_seconds", "except_hard"]), JSON))
def test_any_values_are_a_request_or_an_error_in_words(changes: dict[str, Any]) -> None:
    try:
        request = decode(values(**changes))
    except ValueError as error:
        assert str(error)
    else:
        assert request.names and all(name.isprintable() for name in request.names)


@pytest.mark.parametrize(
    ("pattern", "is_named"),
    [("pool", True), ("p*", True), ("jobs:one", True), ("jobs:*", True), ("jobs", True), ("one", False)],
)
def test_name_is_that_of_a_pool_a_worker_or_a_group(pattern: str, is_named: bool) -> None:
    request = OperatorRequest("ab" * 8, Act.RESTART, (pattern,), 60.0)
    assert request.names_worker("pool", info()) is is_named


def test_only_the_process_that_ran_when_the_request_came_must_go() -> None:
    taken = TakenRequest(RESTART, 0.0, 60.0, {"jobs:one": RunningProcess(PID, START)})
    assert taken.wants(info())
    assert not taken.wants(info(pid=PID + 1))
    assert not taken.wants(info(start=START + 1))
    assert not taken.wants(info(name="two"))


def test_request_is_over_at_its_end_and_never_without_one() -> None:
    assert not TakenRequest(RESTART, 0.0, 60.0).is_over(59.9)
    assert TakenRequest(RESTART, 0.0, 60.0).is_over(60.0)
    assert not TakenRequest(RESTART, 0.0, None).is_over(1e12)


def test_pause_holds_the_hard_limit_unless_it_says_otherwise() -> None:
    assert Pause(0.0, None).holds(hard=True)
    assert not Pause(0.0, None, except_hard=True).holds(hard=True)
    assert Pause(0.0, None, except_hard=True).holds(hard=False)


@pytest.mark.parametrize("name", ["web[1]", "web?", "w*b"])
def test_name_with_the_characters_of_a_pattern_is_found_by_itself(name: str) -> None:
    request = OperatorRequest("ab" * 8, Act.PAUSE, (name,), 60.0)
    assert request.names_pool(name) and request.names_one("pool", f"{name}:0", name)
    assert not request.names_pool("other")


def test_each_name_must_name_something() -> None:
    known = ["mail", "mail:one", "web[1]"]
    assert unmatched(["m*", "mail:one", "web[1]"], known) == []
    assert unmatched(["mail", "mial", "web[2]", "*:two"], known) == ["mial", "web[2]", "*:two"]
