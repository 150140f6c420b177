"""Signals that come while the demo runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from supervisor_memkill.demo.interruption import SIGNALS, Interruption
from tests.signals import none_ignored


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    with none_ignored():
        yield


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_interrupts_nothing(number: signal.Signals) -> None:
    with Interruption() as interruption:
        assert interruption.number == 0
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.number == number


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)
