"""Which workers count as in service, and how many a pool needs."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import can_never_drain, is_in_service
from tests.builders import EPOCH, info, reading
from tests.rules.sightings import sighting


@pytest.mark.parametrize(
    ("what", "seen", "expected"),
    [
        ("well", {}, True),
        ("not running", {"process": info(ProcessState.STARTING)}, False),
        ("just settled", {"process": info(start=EPOCH - 10)}, True),
        ("not settled", {"process": info(start=EPOCH - 9)}, False),
        ("draining", {"draining": State.QUIETING}, False),
        ("quiet", {"reading": reading(quiet=True)}, False),
        ("wanting", {"reading": reading(in_service=False)}, False),
        ("unknown", {"reading": reading(in_service=None, quiet=None)}, False),
        ("no reading", {"reading": None}, False),
        ("memory unknown", {"memory_bytes": None}, True),
    ],
)
def test_worker_counts_as_in_service_only_if_every_sign_agrees(
    what: str, seen: dict[str, Any], expected: bool
) -> None:
    assert is_in_service(sighting(**seen), settle_seconds=10.0) is expected, what


@pytest.mark.parametrize(
    ("start", "age_seconds", "expected"),
    [(EPOCH + 7200, 30.0, True), (EPOCH - 7200, 5.0, False), (EPOCH - 30, None, True)],
)
def test_peer_counts_by_the_age_of_its_process_after_the_clock_was_set(
    start: int, age_seconds: float | None, expected: bool
) -> None:
    peer = sighting(process=info(start=start), age_seconds=age_seconds)
    assert is_in_service(peer, settle_seconds=10.0) is expected


@pytest.mark.parametrize(
    ("workers", "min_available", "expected"),
    [(1, 1, True), (2, 1, False), (2, 2, True), (1, 0, False), (3, 2, False)],
)
def test_pool_with_fewer_workers_than_min_available_and_one_can_never_drain(
    workers: int, min_available: int, expected: bool
) -> None:
    assert can_never_drain(workers, min_available) is expected
