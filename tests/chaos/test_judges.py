"""Each judge can fail: a story that breaks its promise is told to it, beside one that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from supervisor_memkill.processes import ProcessInfo, ProcessState
from tests.chaos.doings import Doing, Doings, Standing
from tests.chaos.judges import Broken, Judge, OperatorsJudge, owed, unpaid
from tests.chaos.plan import LISTENERS, WORKERS
from tests.chaos.seen import Phase, Sample, Worker, phase

IN, QUIET, STOPPED, STOPPING, STARTING = (
    Phase.IN,
    Phase.QUIET,
    Phase.STOPPED,
    Phase.STOPPING,
    Phase.STARTING,
)
ONE, TWO, THREE = "a/rq_0", "a/rq_1", "b/rq_0"


class Told:
    """A judge and the story that it is told."""

    def __init__(self, pool: str = "rq", min_available: int = 1) -> None:
        self.doings = Doings()
        self.judge = Judge(pool, self.doings, min_available)
        self.broken: list[Broken] = []
        self.at = 100.0

    def look(self, phases: Mapping[str, Phase], times: int = 1, *, seconds: float = 0.1) -> None:
        """Looks a quarter of a second apart, each like this."""
        for _ in range(times):
            workers = {name: Worker(seen, 7, 50) for name, seen in phases.items()}
            self.broken += self.judge.look(Sample(self.at, workers, {}, seconds))
            self.at += 0.25

    def did(self, target: str, since: float = 0.0, until: float | None = 0.0) -> None:
        """The hand did something, so many seconds after now."""
        self.doings.all.append(
            Doing(target, "it", self.at + since, None if until is None else self.at + until)
        )

    def promises(self) -> list[str]:
        return [one.promise for one in self.broken]


@pytest.fixture
def told() -> Told:
    told = Told()
    told.look({ONE: IN, TWO: IN, THREE: IN})
    return told


# --- S1 ---------------------------------------------------------------------------------------------


def test_two_out_at_once_break_s1(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.look({ONE: STOPPED, TWO: IN, THREE: STOPPING}, times=2)
    assert told.promises() == ["S1"]
    assert "a/rq_0, b/rq_0" in told.broken[0].words


def test_s1_is_told_once_as_long_as_it_lasts(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: STOPPING}, times=9)
    assert told.promises() == ["S1"]


def test_one_after_the_other_breaks_nothing(told: Told) -> None:
    told.look({ONE: STOPPING, TWO: IN, THREE: IN}, times=3)
    told.look({ONE: IN, TWO: QUIET, THREE: IN}, times=3)
    told.look({ONE: IN, TWO: IN, THREE: STOPPED}, times=3)
    assert told.broken == []
    assert (told.judge.taken_out, told.judge.most_out) == (3, 1)


def test_a_worker_that_only_restarts_is_out_until_it_serves(told: Told) -> None:
    told.look({ONE: STOPPING, TWO: IN, THREE: IN})
    told.look({ONE: Phase.BOOTING, TWO: STOPPING, THREE: IN}, times=2)
    assert told.promises() == ["S1"]


@pytest.mark.parametrize("target", [ONE, "a"])
def test_what_the_hand_took_is_not_the_tools(told: Told, target: str) -> None:
    told.did(target)
    told.look({ONE: STOPPED, TWO: QUIET if target == ONE else STOPPED, THREE: IN}, times=3)
    assert told.broken == []
    assert told.judge.taken_out == (1 if target == ONE else 0)


def test_what_the_hand_does_to_one_taken_out_frees_the_tool_of_it(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=2)
    told.did(ONE)
    told.look({ONE: STARTING, TWO: IN, THREE: QUIET}, times=3)
    assert told.broken == []


@pytest.mark.parametrize("target", ["a/rq_1", "a/memkill", "b", "coordination"])
def test_a_deed_elsewhere_excuses_nothing(told: Told, target: str) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did(target)
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.doings.all[:] = [doing for doing in told.doings.all if doing.target != "b"]
    told.look({ONE: QUIET, TWO: IN, THREE: STOPPING}, times=2)
    assert told.promises() == ["S1"]


def test_a_deed_of_long_ago_excuses_nothing(told: Told) -> None:
    told.did(ONE)
    told.look({ONE: IN, TWO: IN, THREE: IN}, times=20)
    told.look({ONE: QUIET, TWO: IN, THREE: STOPPING}, times=2)
    assert told.promises() == ["S1"]


@pytest.mark.parametrize(("seconds", "promises"), [(3.0, ["S1"]), (4.5, [])])
def test_a_slot_lapses_only_when_nobody_could_renew_it(
    told: Told, seconds: float, promises: list[str]
) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did("a/memkill", until=seconds)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=int(seconds * 4))
    told.look({ONE: QUIET, TWO: IN, THREE: QUIET}, times=2)
    assert told.promises() == promises


def test_a_slot_that_lapsed_is_held_again_when_its_listener_is_back(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did("a/memkill", until=5.0)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=60)
    told.look({ONE: QUIET, TWO: IN, THREE: QUIET}, times=2)
    assert told.promises() == ["S1"]


def test_who_went_while_a_slot_had_lapsed_may_stay_out_and_nobody_else_may_go(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did("a/memkill", until=5.0)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=20)
    told.look({ONE: QUIET, TWO: IN, THREE: QUIET}, times=60)
    assert told.broken == []
    told.look({ONE: QUIET, TWO: QUIET, THREE: QUIET}, times=2)
    assert "S1" in told.promises()


@pytest.mark.parametrize("target", ["jobs", "coordination"])
def test_an_outage_of_a_server_excuses_nothing_once_it_is_over(told: Told, target: str) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did(target, until=6.0)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=60)
    told.look({ONE: QUIET, TWO: IN, THREE: STOPPING}, times=2)
    assert told.promises() == ["S1"]


@pytest.mark.parametrize(("looks", "promises"), [(24, []), (80, ["S1"])], ids=["soon", "late"])
def test_a_slot_that_redis_lost_is_gone_until_the_worker_is_known_to_be_out(
    looks: int, promises: list[str]
) -> None:
    """A Sidekiq's own record says that it is quiet up to a beat later."""
    one, two, three = "b/sidekiq_0", "a/sidekiq_0", "a/sidekiq_1"
    told = Told("sidekiq")
    told.look({one: IN, two: IN, three: IN})
    told.look({one: QUIET, two: IN, three: IN})
    told.doings.all.append(Doing("flushed", "flushed", told.at, told.at))
    told.look({one: QUIET, two: IN, three: IN}, times=looks)
    told.look({one: QUIET, two: QUIET, three: IN}, times=2)
    assert told.promises() == promises


def test_a_slot_that_redis_lost_later_than_that_is_held_all_the_while(told: Told) -> None:
    told.look({ONE: STOPPING, TWO: IN, THREE: IN}, times=20)
    told.doings.all.append(Doing("flushed", "flushed", told.at, told.at))
    told.look({ONE: STOPPING, TWO: IN, THREE: IN}, times=20)
    told.look({ONE: STOPPING, TWO: IN, THREE: STOPPING}, times=2)
    assert told.promises() == ["S1"]


def test_a_late_act_of_a_listener_that_was_hindered_breaks_s1(told: Told) -> None:
    told.did("a/memkill", until=8.0)
    told.look({ONE: IN, TWO: IN, THREE: IN}, times=28)
    told.look({ONE: IN, TWO: IN, THREE: QUIET}, times=5)
    told.look({ONE: QUIET, TWO: IN, THREE: QUIET}, times=2)
    assert told.promises() == ["S1"]


def test_hindrances_close_together_are_one(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did("a/memkill", until=2.0)
    told.did("coordination", since=3.0, until=4.5)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=20)
    told.look({ONE: QUIET, TWO: IN, THREE: QUIET}, times=2)
    assert told.broken == []


def test_the_other_hosts_hindrance_lapses_no_slot_here(told: Told) -> None:
    told.look({ONE: QUIET, TWO: IN, THREE: IN})
    told.did("b/memkill", until=9.0)
    told.look({ONE: QUIET, TWO: IN, THREE: IN}, times=40)
    told.look({ONE: QUIET, TWO: QUIET, THREE: IN}, times=2)
    assert told.promises() == ["S1"]


def test_one_look_alone_is_not_one_instant(told: Told) -> None:
    told.look({ONE: STARTING, TWO: IN, THREE: IN})
    told.look({ONE: STARTING, TWO: IN, THREE: STOPPING})
    told.look({ONE: IN, TWO: IN, THREE: STOPPING}, times=3)
    assert told.broken == []


def test_a_look_that_took_long_says_only_who_serves(told: Told) -> None:
    told.look({ONE: QUIET, TWO: QUIET, THREE: IN}, times=3, seconds=2.0)
    assert (told.broken, told.judge.taken_out) == ([], 0)


def test_another_pools_worker_is_none_of_this_one(told: Told) -> None:
    told.look({ONE: QUIET, "a/sidekiq_0": IN, THREE: IN})
    told.look({ONE: QUIET, "a/sidekiq_0": QUIET, THREE: IN}, times=3)
    assert told.broken == []


# --- S2 ---------------------------------------------------------------------------------------------


def test_the_last_one_taken_out_breaks_s2(told: Told) -> None:
    told.did("b")
    told.look({ONE: IN, TWO: QUIET, THREE: STOPPED})
    told.look({ONE: IN, TWO: QUIET, THREE: STOPPED}, times=40)
    told.look({ONE: STOPPING, TWO: QUIET, THREE: STOPPED})
    assert "S2" in told.promises()


@pytest.mark.parametrize(("min_available", "promises"), [(1, []), (2, ["S2"])])
def test_as_many_others_as_the_pool_needs_must_be_in_service(min_available: int, promises: list[str]) -> None:
    told = Told(min_available=min_available)
    told.look({ONE: IN, TWO: IN, THREE: IN})
    told.did("b")
    told.look({ONE: IN, TWO: IN, THREE: STOPPED}, times=40)
    told.look({ONE: STOPPING, TWO: IN, THREE: STOPPED})
    assert told.promises() == promises


@pytest.mark.parametrize(
    ("target", "gone", "looks", "promises"),
    [("a", TWO, 3, []), ("a", TWO, 12, ["S2"]), ("b", THREE, 12, []), ("b", THREE, 30, ["S2"])],
    ids=["same host, just now", "same host, a while", "other host, a while", "other host, long"],
)
def test_a_peer_that_the_hand_took_may_be_believed_in_for_a_while(
    told: Told, target: str, gone: str, looks: int, promises: list[str]
) -> None:
    """A host sees its own workers anew for each act; another's word counts for three heartbeats."""
    alone = Told()
    alone.look({ONE: IN, gone: IN})
    alone.did(gone)
    alone.look({ONE: IN, gone: STOPPED}, times=looks)
    alone.look({ONE: QUIET, gone: STOPPED})
    assert alone.promises() == promises


def test_a_host_that_does_not_answer_is_not_in_service_for_long() -> None:
    told = Told()
    told.look({ONE: IN, THREE: IN})
    told.did("b", until=None)
    told.look({ONE: IN}, times=60)
    told.look({ONE: QUIET})
    assert told.promises() == ["S2"]


# --- S5 ---------------------------------------------------------------------------------------------


def process(state: ProcessState, stop: int = 90) -> ProcessInfo:
    return ProcessInfo("rq_0", "rq_0", state, 0, 50, stop, 100)


def look_at(process: ProcessInfo, standing: Standing, at: float = 100.0) -> list[Broken]:
    doings = Doings(standing={ONE: standing})
    judge = OperatorsJudge(doings)
    first = list(judge.look(Sample(at, {}, {ONE: process})))
    assert list(judge.look(Sample(at + 1, {}, {ONE: process}))) == [] or not first, "told once"
    return first


@pytest.mark.parametrize(
    "now",
    [process(ProcessState.RUNNING), process(ProcessState.STARTING), process(ProcessState.STOPPED, stop=95)],
    ids=["running", "starting", "started and stopped again"],
)
def test_what_was_stopped_and_comes_back_breaks_s5(now: ProcessInfo) -> None:
    assert [one.promise for one in look_at(now, Standing(99.0, 90))] == ["S5"]


def test_what_stays_stopped_breaks_nothing() -> None:
    assert look_at(process(ProcessState.STOPPED), Standing(99.0, 90)) == []


def test_a_look_from_before_the_stop_says_nothing_of_it() -> None:
    doings = Doings(standing={ONE: Standing(100.5, 90)})
    looked = OperatorsJudge(doings).look(Sample(100.0, {}, {ONE: process(ProcessState.RUNNING)}))
    assert list(looked) == []


# --- the calm: L1 and L2 ----------------------------------------------------------------------------


def calm(**phases: Phase) -> Sample:
    """All is well but for these workers of host a."""
    others = {f"a/{name}": seen for name, seen in phases.items()}
    workers = {name: Worker(others.get(name, IN), 7, 50) for name in WORKERS}
    return Sample(100.0, workers, dict.fromkeys(LISTENERS, process(ProcessState.RUNNING)))


def promise_of(sample: Sample, drains: Sequence[str] = (), too_big: Sequence[str] = ()) -> str:
    broken = unpaid(owed(sample, drains, too_big), 100.0, 90.0)
    return broken.promise if broken else ""


def test_a_calm_in_which_all_serve_owes_nothing() -> None:
    assert promise_of(calm()) == ""


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not IN])
def test_a_worker_that_does_not_serve_in_the_calm_breaks_l2(phase: Phase) -> None:
    assert promise_of(calm(rq_1=phase)) == "L2"


def test_what_cannot_be_seen_in_the_calm_breaks_l2() -> None:
    assert promise_of(Sample(100.0, {}, calm().processes)) == "L2"
    assert promise_of(Sample(100.0, calm().workers, {})) == "L2"


def test_a_drain_left_in_a_journal_breaks_l2() -> None:
    assert promise_of(calm(), drains=["a/rq_0 settling"]) == "L2"


def test_a_worker_left_over_its_limit_breaks_l1() -> None:
    assert promise_of(calm(), too_big=["a/rq_0"]) == "L1"
    assert promise_of(calm(rq_1=QUIET), too_big=["a/rq_0"]) == "L2", "the worse of two"


# --- what is seen -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "recorded", "expected"),
    [
        (ProcessState.RUNNING, {7: False}, Phase.IN),
        (ProcessState.RUNNING, {7: True}, Phase.QUIET),
        (ProcessState.RUNNING, {8: False}, Phase.BOOTING),
        (ProcessState.STARTING, {7: False}, Phase.STARTING),
        (ProcessState.BACKOFF, {}, Phase.STARTING),
        (ProcessState.STOPPING, {7: False}, Phase.STOPPING),
        (ProcessState.EXITED, {}, Phase.STOPPED),
        (ProcessState.STOPPED, {7: False}, Phase.STOPPED),
    ],
)
def test_in_service_needs_supervisords_word_and_the_frameworks(
    state: ProcessState, recorded: dict[int, bool], expected: Phase
) -> None:
    seen = ProcessInfo("rq_0", "rq_0", state, 7, 50, 0, 100)
    assert phase(seen, recorded) is expected
