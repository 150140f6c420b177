"""A few rounds of the chaos run. ``python -m tests.chaos`` plays as many as one has time for."""

from __future__ import annotations

import pytest

from tests.chaos.run import run

pytestmark = pytest.mark.real

SEED, ROUNDS = 147, 8


def test_whatever_the_hand_does_every_promise_is_kept() -> None:
    summary = run(SEED, ROUNDS, ROUNDS, print)
    print(summary.words())  # pytest shows it of a failed test only
    assert summary.broken == []
    assert summary.rounds == ROUNDS
    assert all(summary.taken_out.values()), "the tool took out workers of every pool meanwhile"
    assert all(one.sent for one in summary.verdicts.values())
