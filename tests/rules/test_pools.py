"""Which worker belongs to which pool, and the notes on a configuration that may be wrong."""

from __future__ import annotations

import pytest

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.rules.pools import (
    Assignment,
    Assignments,
    Oddity,
    OddityKind,
    assign,
    near_names,
    notes,
)
from tests.builders import info


def _processes(*workers: str) -> list[ProcessInfo]:
    return [info(group=worker.split(":")[0], name=worker.split(":")[1]) for worker in workers]


def _pools(**programs: str) -> list[PoolConfig]:
    return [PoolConfig(name, tuple(patterns.split())) for name, patterns in programs.items()]


def _owners(assignment: Assignment) -> dict[str, list[str]]:
    return {pool: [process.worker for process in found] for pool, found in assignment.members.items()}


@pytest.mark.parametrize(
    ("pattern", "is_matched"),
    [
        ("jobs", True),
        ("jobs:one", True),
        ("jobs:*", True),
        ("jobs:o?e", True),
        ("jo*", True),
        ("*:one", True),
        ("*", True),
        ("[ij]obs", True),
        ("one", False),
        ("Jobs", False),
        ("job", False),
        ("jobs:", False),
    ],
)
def test_pattern_names_a_whole_group_or_group_and_name(pattern: str, is_matched: bool) -> None:
    assignment = assign(_processes("jobs:one"), _pools(pool=pattern), ())
    assert _owners(assignment) == {"pool": ["jobs:one"] if is_matched else []}
    assert assignment.unmatched == (() if is_matched else ("pool",))


@pytest.mark.parametrize(
    ("exact", "less_exact"),
    [
        ("jobs:one", "jobs:on*"),
        ("jobs:one", "jobs:[o]ne jobs:one*"),
        ("jobs:on*", "jobs:*"),
        ("jobs:*", "job*"),
        ("jobs", "job*"),
        ("jobs", "jobs*"),
        ("jobs", "*"),
        ("*:one", "*"),
        ("* jobs:one", "jobs"),
        ("jobs:on?", "jobs:[a-z]*"),
    ],
)
def test_most_specific_pattern_wins(exact: str, less_exact: str) -> None:
    processes = _processes("jobs:one")
    for pools in (_pools(near=exact, far=less_exact), _pools(far=less_exact, near=exact)):
        assignment = assign(processes, pools, ())
        assert _owners(assignment) == {"near": ["jobs:one"], "far": []}
        assert assignment.overlaps == ()
        assert assignment.unmatched == ()


def test_full_name_is_the_most_specific_even_if_it_looks_like_a_pattern() -> None:
    assignment = assign(_processes("jobs:[1]"), _pools(far="jobs:[[]1*", near="jobs:[1]"), ())
    assert _owners(assignment) == {"far": [], "near": ["jobs:[1]"]}


def test_bare_group_is_as_specific_as_the_group_with_a_star() -> None:
    assignment = assign(_processes("jobs:one"), _pools(first="jobs:*", second="jobs"), ())
    assert [(overlap.pool, overlap.other) for overlap in assignment.overlaps] == [("first", "second")]


def test_earlier_section_wins_a_tie_and_one_sentence_says_so() -> None:
    processes = _processes("jobs:one", "jobs:two", "jobs:three")
    pools = _pools(first="jobs", second="jobs")
    assignment = assign(processes, pools, ())
    assert _owners(assignment) == {"first": ["jobs:one", "jobs:two", "jobs:three"], "second": []}
    (note,) = notes(assignment, pools, processes)
    assert (note.kind, note.pool) == (OddityKind.OVERLAP, "second")
    assert "jobs:one and 2 more" in note.words
    assert "[memkill:first] and [memkill:second] match equally well" in note.words


def test_no_pool_gets_a_worker_of_an_excluded_group() -> None:
    processes = _processes("memkill:memkill", "jobs:one")
    assignment = assign(processes, _pools(everything="*", own="memkill"), {"memkill"})
    assert _owners(assignment) == {"everything": ["jobs:one"], "own": []}


def test_worker_that_no_pool_names_belongs_to_none() -> None:
    assert _owners(assign(_processes("web:web"), _pools(jobs="jobs"), ())) == {"jobs": []}


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [("sidekik", "sidekiq"), ("Sidekiq", "sidekiq"), ("sidekiq_0", "sidekiq:sidekiq_0")],
)
def test_note_on_a_pool_without_workers_suggests_similar_names(pattern: str, meant: str) -> None:
    processes = _processes("web:web", "sidekiq:sidekiq_0")
    pools = _pools(pool=pattern)
    assert near_names(pools[0], processes)[0] == meant
    (note,) = notes(assign(processes, pools, ()), pools, processes)
    assert f"[memkill:pool] programs = {pattern} matches no worker, did you mean {meant}" in note.words


def test_no_name_is_suggested_if_none_is_similar() -> None:
    processes = _processes("web:web")
    pools = _pools(pool="sidekiq")
    assert list(notes(assign(processes, pools, ()), pools, processes)) == [
        Oddity(OddityKind.UNMATCHED, "pool", "[memkill:pool] programs = sidekiq matches no worker")
    ]


def test_assignment_kept_from_the_last_time_follows_names_and_excluded_groups() -> None:
    pools = _pools(all="*", one="jobs:one")
    kept = Assignments(pools)
    for names, excluded in [
        (["jobs:one", "jobs:two"], ()),
        (["jobs:one", "jobs:two"], ()),
        (["jobs:two", "jobs:one"], ()),
        (["jobs:two", "jobs:one", "mail:a"], ()),
        (["jobs:two", "jobs:one", "mail:a"], ("jobs",)),
        ([], ()),
    ]:
        processes = _processes(*names)
        assert kept.of(processes, excluded) == assign(processes, pools, excluded)
