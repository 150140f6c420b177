"""A wait has a limit, and each step towards its end has one of its own."""

from __future__ import annotations

import pytest

from tests.harness import wait_for


def never() -> bool:
    return False


def test_a_wait_in_vain_fails_and_names_the_condition_first() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^waited 0.1 s in vain: never\nthe logs$"):
        wait_for(never, 0.1, lambda: "the logs", every=0.01)


def test_the_limit_begins_anew_with_each_step() -> None:
    """Here it is nothing: no look may go without a new value."""
    steps = iter([*range(50), 49, 50])
    with pytest.raises(pytest.fail.Exception):
        wait_for(never, 0, every=0, progress=lambda: next(steps))
    assert list(steps) == [50]
