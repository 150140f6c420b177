"""Pools with too few workers to drain any: in all, or for the same queues."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import pytest

from supervisor_memkill.coordination.contract import Coordinator, PoolView, Report
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.listener.pool_sizes import SECONDS_PER_WORKER, PoolSizes, TooFew

Sets = Sequence[str]
"""The queues of each worker, one letter each; an empty text: unknown."""


class Pool:
    """The part of a survey and of coordination that is asked."""

    name = "jobs"

    def __init__(self, here: Sets, everywhere: Sets = ()) -> None:
        self.here = here
        self.everywhere = everywhere
        self.views = 0
        self.now = 0.0
        self.sizes = PoolSizes(lambda: self.now)

    @property
    def pool(self) -> Pool:
        return self

    @property
    def sets_of_queues(self) -> dict[frozenset[str], int]:
        return {frozenset(one): self.here.count(one) for one in self.here}

    def view(self, pool: str) -> PoolView:
        self.views += 1
        blank = Report("w", 1, 0, 0, 0, True, "RUNNING", 0, None)
        reports = [dataclasses.replace(blank, queues=frozenset(one)) for one in self.everywhere]
        return cast("PoolView", _View(reports))

    def too_few(self, queues: str, min_available: int = 1, *, ask: bool = True) -> TooFew | None:
        survey, coordinator = cast("PoolSurvey", self), cast("Coordinator", self)
        return self.sizes.too_few(survey, frozenset(queues), min_available, coordinator, ask=ask)

    def each(self, min_available: int = 1) -> Sequence[TooFew]:
        return self.sizes.each_too_few(cast("PoolSurvey", self), min_available, cast("Coordinator", self))


@dataclasses.dataclass
class _View:
    reports: list[Report]


@pytest.mark.parametrize(
    ("here", "everywhere", "queues", "min_available", "wanted"),
    [
        (["a"], [], "a", 1, TooFew(1)),
        (["a", "a"], [], "a", 1, None),
        (["a", "a"], [], "a", 2, TooFew(2)),
        (["a", "b"], [], "a", 1, TooFew(1, frozenset("a"))),
        (["a", "ab"], [], "a", 1, None),
        (["a", "ab"], [], "ab", 1, TooFew(1, frozenset("ab"))),
        (["a", ""], [], "a", 1, None),
        (["", ""], [], "", 1, None),
        ([""], [], "", 1, TooFew(1)),
        (["a", "b"], ["a", "a", "b"], "a", 1, None),
        (["a", "b"], ["a", "b", "b"], "a", 1, TooFew(1, frozenset("a"))),
        (["a"], ["a", "b"], "a", 1, TooFew(1, frozenset("a"))),
        (["a", "b"], [], "a", 0, None),
    ],
)
def test_so_many_stand_in_for_a_worker_at_the_most(
    here: Sets, everywhere: Sets, queues: str, min_available: int, wanted: TooFew | None
) -> None:
    """Somebody whose queues are unknown may."""
    assert Pool(here, everywhere).too_few(queues, min_available) == wanted


def test_the_pool_of_all_hosts_is_read_only_if_those_here_are_too_few_and_then_rarely() -> None:
    pool = Pool(["a", "a", "b"], ["a", "a", "b"])
    assert pool.too_few("a") is None and pool.views == 0
    assert pool.too_few("b") and pool.views == 1
    assert pool.too_few("b") and pool.too_few("b", 2) and pool.views == 1
    pool.now += 3 * SECONDS_PER_WORKER
    assert pool.too_few("b", ask=False) and pool.views == 1
    assert pool.too_few("b") and pool.views == 2


def test_each_that_can_never_drain_is_named_once() -> None:
    assert Pool(["a", "b", "b"]).each() == [TooFew(1, frozenset("a"))]
    assert Pool(["a", "b"]).each() == [TooFew(1, frozenset("a")), TooFew(1, frozenset("b"))]
    assert Pool(["a", "b"]).each(2) == [TooFew(1, frozenset("a")), TooFew(1, frozenset("b"))]
    assert Pool(["a", "a"]).each(2) == [TooFew(2)]
    assert Pool([]).each() == []


def test_words_say_how_many_and_for_what() -> None:
    assert TooFew(1).words == "the pool has only 1 worker in all, so that none is ever drained"
    assert TooFew(2).words.startswith("the pool has only 2 workers in all")
    assert "only 2 workers for the queues a, b, so" in TooFew(2, frozenset("ab")).words
    assert "the queues a, b, c, d and 2 more, so" in TooFew(1, frozenset("abcdef")).words
    assert "the queues a, b, c, d, so" in TooFew(1, frozenset("abcd")).words
