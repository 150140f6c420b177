"""The judge: it counts rightly, and finds each broken promise."""

from __future__ import annotations

from dataclasses import replace

from supervisor_memkill.demo.judge import Account, Life, Tally, account, broken_promises, observe
from supervisor_memkill.demo.sample import Sample
from supervisor_memkill.demo.spool import Fact
from supervisor_memkill.processes import ProcessState
from tests.demo.values import MB, sample, sight, stopped

OLD, NEW = Life(100, 20 * MB, 60 * MB), Life(101, 15 * MB, 30 * MB)
GOOD = Tally({f"jobs:{name}": (OLD, NEW) for name in "abc"}, max_out=("jobs:a",))
ALL_DONE = Account(handed_out=9, done=9, lost=(), twice=())


def tally_of(*samples: Sample) -> Tally:
    tally = Tally()
    for one in samples:
        tally = observe(tally, one)
    return tally


def facts(*pairs: tuple[str, str]) -> list[Fact]:
    return [Fact(what, job, "a", 100) for what, job in pairs]


def test_kept_promises_are_not_reported() -> None:
    assert broken_promises(GOOD, ALL_DONE, sample()) == ()


def test_a_job_without_a_finish_is_lost() -> None:
    jobs = account(["1", "2", "3"], facts(("start", "1"), ("finish", "1"), ("start", "2")))
    assert (jobs.handed_out, jobs.done, jobs.lost, jobs.twice) == (3, 1, ("2", "3"), ())
    assert broken_promises(GOOD, jobs, sample()) == ("never finished: 2 jobs (2 3)",)


def test_a_job_begun_again_was_run_twice() -> None:
    jobs = account(["1"], facts(("start", "1"), ("start", "1"), ("finish", "1")))
    assert (jobs.done, jobs.twice) == (1, ("1",))
    assert broken_promises(GOOD, jobs, sample()) == ("run twice: 1 job (1)",)


def test_a_job_finished_again_was_run_twice() -> None:
    assert account(["1"], facts(("start", "1"), ("finish", "1"), ("finish", "1"))).twice == ("1",)


def test_two_workers_out_of_service_in_one_sample_break_a_promise() -> None:
    quiet = sight("b", reported="quiet")
    tally = tally_of(sample(), sample(stopped("a"), quiet, sight("c")), sample())
    assert tally.max_out == ("jobs:a", "jobs:b")
    seen = replace(tally, lives=GOOD.lives)
    assert broken_promises(seen, ALL_DONE, sample()) == ("jobs:a, jobs:b were out of service at once",)


def test_one_after_the_other_out_of_service_is_fine() -> None:
    tally = tally_of(
        sample(),
        sample(stopped("a"), sight("b"), sight("c")),
        sample(sight("a"), stopped("b"), sight("c")),
    )
    assert len(tally.max_out) == 1


def test_workers_that_start_up_together_are_not_counted_as_out() -> None:
    tally = tally_of(sample(stopped("a"), stopped("b"), sight("c")), sample())
    assert tally.max_out == ()


def test_a_fresh_process_that_has_not_reported_is_out_of_service() -> None:
    assert sample(sight("a", reported=""), sight("b")).out == ("jobs:a",)


def test_a_worker_left_stopped_or_quiet_or_silent_breaks_a_promise() -> None:
    last = sample(stopped("a"), sight("b", reported="quiet"), sight("c", reported=""))
    assert broken_promises(GOOD, ALL_DONE, last) == (
        "jobs:a was left STOPPED",
        "jobs:b was left quiet",
        "jobs:c was left silent",
    )


def test_a_worker_that_kept_its_process_breaks_a_promise() -> None:
    tally = replace(GOOD, lives={**GOOD.lives, "jobs:c": (OLD,)})
    assert not tally.are_all_replaced
    assert broken_promises(tally, ALL_DONE, sample()) == ("jobs:c was not replaced in time",)


def test_workers_that_never_came_up_break_a_promise() -> None:
    expected = ("the three workers were never in service together",)
    assert broken_promises(Tally(), ALL_DONE, None) == expected
    assert broken_promises(Tally(), ALL_DONE, sample(stopped("a"))) == expected


def test_memory_before_is_the_most_that_the_old_process_held_and_after_is_the_first_of_the_new_one() -> None:
    tally = tally_of(
        sample(sight(memory_bytes=20 * MB)),
        sample(sight(memory_bytes=60 * MB)),
        sample(sight(memory_bytes=3 * MB, state=ProcessState.STOPPING)),
        sample(stopped()),
        sample(sight(pid=101, memory_bytes=9 * MB, reported="")),
        sample(sight(pid=101, memory_bytes=15 * MB)),
        sample(sight(pid=101, memory_bytes=30 * MB)),
    )
    assert tally.lives == {"jobs:a": (OLD, NEW)}
    assert tally.are_all_replaced
