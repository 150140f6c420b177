"""A curve has a bounded length, keeps its ends and its shape, and belongs to one process."""

from __future__ import annotations

import itertools

import pytest

from supervisor_memkill.notices import curves
from supervisor_memkill.notices.curves import MAX_POINTS, Curve, Curves


def curve_of(*looks: tuple[float, int]) -> Curve:
    curve = Curve(7)
    for age_seconds, size_bytes in looks:
        curve.add(age_seconds, size_bytes)
    return curve


def test_short_curve_is_whole() -> None:
    assert curve_of((60, 100), (120, 110), (180.9, 130)).points() == ((60, 100), (120, 110), (180, 130))


@pytest.mark.parametrize("looks", [47, 48, 49, 1_000, 20_000])
def test_long_curve_is_bounded_and_keeps_both_ends(looks: int) -> None:
    points = curve_of(*((60 * look, look) for look in range(looks))).points()
    assert len(points) <= MAX_POINTS
    assert (points[0], points[-1]) == ((0, 0), (60 * (looks - 1), looks - 1))
    assert list(points) == sorted(points)


def test_curve_is_whole_until_it_is_full() -> None:
    looks = [(60 * look, look) for look in range(MAX_POINTS)]
    assert curve_of(*looks).points() == tuple(looks)


def test_full_curve_keeps_every_second_point_and_grows_with_their_distance() -> None:
    looks = [(60 * look, look) for look in range(MAX_POINTS + 10)]
    points = curve_of(*looks).points()
    assert points == (*looks[:-1:2], looks[-1])


def test_curve_is_bounded_after_each_look() -> None:
    curve = Curve(7)
    for look in range(500):
        curve.add(60 * look, look)
        assert len(curve.points()) <= MAX_POINTS


def test_curve_without_a_look_is_empty() -> None:
    assert curve_of().points() == ()


def test_last_look_of_two_in_one_second_counts() -> None:
    assert curve_of((100, 1), (100.5, 2)).points() == ((100, 2),)


def test_long_curve_is_spread_over_the_whole_life() -> None:
    points = curve_of(*((60 * look, look) for look in range(20_000))).points()
    whole = points[-1][0]
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(points)]
    assert len(points) >= MAX_POINTS // 3
    assert max(gaps) <= whole / 10


def test_many_looks_in_a_short_time_do_not_displace_the_earlier_ones() -> None:
    slow = [(3600.0 * hour, hour) for hour in range(40)]
    fast = [(3600.0 * 39 + second, 1000) for second in range(1, 500)]
    points = curve_of(*slow, *fast).points()
    assert len([age for age, _ in points if age <= 3600 * 38]) >= 10


def test_clock_that_was_set_back_moves_no_point() -> None:
    assert curve_of((100, 1), (50, 2), (99, 3), (101, 4)).points() == ((100, 1), (101, 4))
    assert curve_of((100, 1), (50, 2)).points() == ((100, 1),)


def test_new_process_has_a_curve_of_its_own() -> None:
    kept = Curves()
    kept.add("jobs:one", 7, 60, 100)
    kept.add("jobs:one", 8, 90, 50)
    kept.drain_begins("jobs:one", 8)
    assert kept.drain_ends("jobs:one") == ((90, 50),)


def test_curve_of_the_drained_process_stays_while_another_process_runs() -> None:
    kept = Curves()
    kept.add("jobs:one", 7, 60, 100)
    kept.drain_begins("jobs:one", 7)
    kept.add("jobs:one", 7, 120, 110)
    kept.add("jobs:one", 8, 1, 50)
    assert kept.drain_ends("jobs:one") == ((60, 100), (120, 110))
    assert kept.drain_ends("jobs:one") == ()


def test_drain_of_a_process_that_was_never_seen_has_no_curve() -> None:
    kept = Curves()
    kept.add("jobs:one", 7, 60, 100)
    kept.drain_begins("jobs:one", 8)
    kept.drain_begins("jobs:two", 9)
    assert kept.drain_ends("jobs:one") == kept.drain_ends("jobs:two") == ()


def test_workers_with_a_curve_are_bounded_and_those_seen_last_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MAX_CURVES", 3)
    kept = Curves()
    for worker in ("a", "b", "c", "a", "d"):
        kept.add(worker, 7, 60, 100)
    for worker in "abcd":
        kept.drain_begins(worker, 7)
    assert [worker for worker in "abcd" if kept.drain_ends(worker)] == ["a", "c", "d"]
