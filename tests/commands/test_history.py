"""What ``history`` shows: the records that a person asked for, in the width that there is, and totals."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervisor_memkill.commands import history
from supervisor_memkill.commands.history_fleet import records_of
from supervisor_memkill.commands.history_screen import GIVES_WAY, curve_line, screen
from supervisor_memkill.commands.history_values import Shown, Wanted, as_json, shown, totals
from supervisor_memkill.commands.terminal import ASCII, BLOCKS, Terminal, width
from supervisor_memkill.coordination.events import Entry
from supervisor_memkill.errors import UsageError
from supervisor_memkill.listener.history_file import paths_beside
from supervisor_memkill.notices.drain_events import DrainKilled, StepEnded
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.pool_events import WorkerHeldLong, WorkerHeldLongOver
from supervisor_memkill.notices.records import DrainRecord, Record, to_line
from supervisor_memkill.notices.stream import StreamSink
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import State
from tests.command_line import CONFIG, assert_one_line, run
from tests.harness import PROGRAMS, short_directory
from tests.notices.record_values import DRAIN, drain, held, killed
from tests.notices.test_history import DONE, KILLED, LET_GO, QUIETING, STOPPING, Kept

NIGHT = 1_796_000_000.0
HOSTILE = "evil\x1b[31m\nx\u202e:one"
MANY: tuple[Record, ...] = (
    DRAIN,
    killed(at=NIGHT + 60, cause="drain_timeout", took_seconds=3674.0),
    killed(at=NIGHT + 120, worker="plain:one", pool="plain", jobs_cut=None, jobs=None, quiet_seconds=None),
    drain(at=NIGHT + 180, outcome="let_go", cause="stopped_by_others", after_bytes=None, reason="restart"),
    drain(at=NIGHT + 240, worker=HOSTILE, host=HOSTILE, cause="drain_timeout"),
    held(at=NIGHT + 300),
)


def lines(
    *records: Record, columns: int | None = None, is_fleet: bool = False, colour: bool = False
) -> list[str]:
    return screen(shown(records, Wanted(), is_fleet=is_fleet), Terminal(columns, None, colour))


def of(made: Shown) -> list[str]:
    return [record.worker for record in made.records]


# --- the screen ---------------------------------------------------------------------------------------------


def test_ordinary_drain_is_one_line_with_all_that_matters() -> None:
    heading, line, *_ = lines(drain(at=NIGHT))
    assert heading.split() == [
        *("WHEN", "POOL", "WORKER", "REASON", "BEFORE", "AFTER"),
        *("QUIET", "STOPPED", "TOOK", "CURVE", "OUTCOME"),
    ]
    begin = time.strftime("%Y-%m-%d %H:%M", time.localtime(NIGHT))
    assert line.split() == [
        *begin.split(),
        *("sidekiq", "sidekiq:sidekiq_0", "max_rss", "2.1GB", "286.1MB", "1m12s", "800ms", "1m24s"),
        curve_line(DRAIN.curve or (), BLOCKS),
        "done",
    ]


def test_job_classes_of_the_old_process_are_shown_where_there_is_room() -> None:
    record = drain(job_classes={"Mail": 3, "Report": 9, "Sync": 1, "Evil\x1b[2J": 5})
    assert lines(record)[1].endswith("done     ran Report, Evil\\x1b[2J, Mail, ...")
    assert "ran Report" in lines(record, columns=200)[1]
    _, line, empty, *_ = lines(record, columns=100)
    assert line.endswith("done") and empty == "", "no line is made longer for them"


def test_at_80_columns_an_ordinary_drain_is_one_line() -> None:
    heading, line, empty, *_ = lines(drain(), columns=80)
    assert empty == "" and max(len(heading), len(line)) <= 80
    assert "REASON" in heading and "TOOK" in heading and "max_rss" in line and line.endswith("done")


@pytest.mark.parametrize("is_fleet", [False, True])
@pytest.mark.parametrize("columns", range(40, 220, 3))
def test_no_line_is_longer_than_the_terminal(columns: int, is_fleet: bool) -> None:
    made = lines(*MANY, columns=columns, is_fleet=is_fleet)
    assert max(map(width, made)) <= columns, "\n".join(made)
    text = " ".join(" ".join(made).split())
    for word in ("KILLED", "2 jobs cut: Mail, Report", "let go", "held", "somebody else stopped the worker"):
        assert word in text


def test_columns_give_way_in_their_order() -> None:
    whole = lines(*MANY, is_fleet=True)[0].split()
    for columns in range(220, 40, -1):
        heading = lines(*MANY, columns=columns, is_fleet=True)[0].split()
        left_out = [name for name in whole if name not in heading]
        assert sorted(left_out, key=GIVES_WAY.index) == list(GIVES_WAY[: len(left_out)]), columns
    assert {"WHEN", "WORKER", "OUTCOME"} <= set(heading)


def test_jobs_that_were_cut_are_named_and_unknown_ones_are_said() -> None:
    text = "\n".join(lines(*MANY))
    assert "KILLED   2 jobs cut: Mail, Report; stopped because drain_timeout is over" in text
    assert "KILLED   its running jobs are unknown" in text
    assert "KILLED   no job was running" in "\n".join(lines(killed(jobs_cut=0, jobs=None)))


def test_what_became_of_the_command_before_the_stop_is_said() -> None:
    assert "done     evidence taken" in "\n".join(lines(drain(evidence="taken")))
    lost = "\n".join(lines(killed(evidence="lost", cause="idle")))
    assert "2 jobs cut: Mail, Report; no evidence: the listener ended while the command ran" in lost
    gone = drain(outcome="let_go", cause="stopped_by_others", evidence="given_up")
    assert "somebody else stopped the worker; no evidence: the drain could not wait" in "\n".join(lines(gone))
    assert "no evidence: \\x1b" in "\n".join(lines(drain(evidence="\x1b[2J"))), "of a later version"


def test_nothing_from_outside_steers_the_terminal() -> None:
    for made in (lines(*MANY, columns=100, is_fleet=True), lines(*MANY)):
        assert all(line.isprintable() for line in made)
    jobs = lines(killed(jobs=("\x1b]0;title\x07",), reason="\x1b[2J", outcome="\x1b[2J", kind="\x1b"))
    assert all(line.isprintable() for line in jobs)
    assert all(line.isprintable() for line in lines(held(why="\x1b[2J\r"), drain(cause="\x9b2J")))


def test_only_what_needs_a_person_has_a_colour_and_only_on_a_terminal() -> None:
    coloured = lines(*MANY, columns=200, colour=True)
    assert any("\x1b[31mKILLED" in line for line in coloured)
    assert any("\x1b[33mlet go" in line for line in coloured)
    plain = [re.sub("\x1b\\[[0-9]*m", "", line) for line in coloured]
    assert [line.rstrip() for line in plain] == lines(*MANY, columns=200)


def test_curve_is_drawn_over_equal_times() -> None:
    points = tuple((60 * look, look) for look in range(101))
    assert curve_line(points, ASCII) == "__..--==++**%%##"
    assert curve_line(points[:1], ASCII) == curve_line((), ASCII) == ""


def test_missing_values_are_a_dash() -> None:
    bare = DrainRecord(NIGHT, "", "jobs", "jobs:one", "", "done")
    row = lines(bare, is_fleet=True)[1].split()[2:]
    assert row == ["-", "jobs", "jobs:one", "-", "-", "-", "-", "-", "-", "done"]


def test_totals_say_what_an_operator_asks_in_the_morning() -> None:
    text = "\n".join(lines(*MANY))
    assert "5 drains: 4 max_rss, 1 restart; 2 done, 2 KILLED, 1 let go" in text
    assert "jobs cut: 2, and those of 1 killed worker are unknown" in text
    assert "longest out of service: 1h01m (sidekiq:sidekiq_0," in text
    assert "held for more than an hour: 1 time" in text
    assert "memory given back: 7.5GB" in text


def test_no_drain_is_said_with_the_time_and_the_older_records() -> None:
    made = screen(shown([drain()], Wanted(since=NIGHT * 1.01)), Terminal())
    assert made[0].startswith("no drain since 20")
    assert made[1] == "1 older record: --since all shows them"


# --- which records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(("sidekiq",)), ["sidekiq:a", "sidekiq:b"]),
        (Wanted(("sidekiq:a",)), ["sidekiq:a"]),
        (Wanted(("*:b",)), ["sidekiq:b"]),
        (Wanted(("mail",)), ["other:c"]),
        (Wanted(("oth*",)), ["other:c"]),
        (Wanted(("nothing",)), []),
        (Wanted(since=NIGHT + 15), ["other:c", "sidekiq:b"]),
        (Wanted(reasons=("restart",)), ["sidekiq:b"]),
        (Wanted(outcomes=("killed", "held")), ["other:c", "sidekiq:b"]),
        (Wanted(outcomes=("held",)), ["sidekiq:b"]),
        (Wanted(outcomes=("held",), reasons=("restart",)), []),
        (Wanted(("sidekiq",), outcomes=("done",), reasons=("max_rss",)), ["sidekiq:a"]),
    ],
)
def test_filters_choose_the_records(wanted: Wanted, expected: list[str]) -> None:
    records: list[Record] = [
        drain(at=NIGHT + 30, worker="sidekiq:b", reason="restart"),
        held(at=NIGHT + 40, worker="sidekiq:b"),
        drain(at=NIGHT + 10, worker="sidekiq:a"),
        killed(at=NIGHT + 20, pool="mail", worker="other:c"),
    ]
    chosen = sorted({record.worker for record in shown(records, wanted).records})
    assert chosen == sorted(expected)


def test_records_are_in_the_order_of_time_whatever_pool_they_come_from() -> None:
    made = shown([drain(at=3, worker="c"), drain(at=1, worker="a"), drain(at=2, worker="b")], Wanted())
    assert of(made) == ["a", "b", "c"]


def test_long_wait_is_one_record_with_its_whole_length() -> None:
    begin, over = held(at=10), held(at=20, held_seconds=9000.0, is_over=True)
    other = held(at=15, worker="sidekiq:other")
    again = held(at=30)
    assert shown([begin, other, over, again], Wanted()).records == (other, over, again)
    assert shown([over], Wanted()).records == (over,), "its beginning is not kept any more"


def test_totals_count_no_memory_that_grew_and_no_wait_of_a_drain_that_was_let_go() -> None:
    found = totals(
        [
            drain(before_bytes=100, after_bytes=40, took_seconds=5.0),
            drain(before_bytes=100, after_bytes=140, took_seconds=None),
            drain(before_bytes=None, outcome="let_go", took_seconds=500.0),
        ]
    )
    assert found.given_back_bytes == 60
    assert found.longest is not None and found.longest.seconds == 5.0
    assert totals([]).longest is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24h", NIGHT - 86400), ("0", NIGHT), ("all", 0.0), ("36500d", 0.0), ("90", NIGHT - 90)],
)
def test_since_is_a_duration(text: str, expected: float) -> None:
    assert history.since_of(text, NIGHT) == expected


def test_since_is_a_date_in_local_time() -> None:
    at = time.mktime((2026, 11, 29, 3, 0, 0, 0, 0, -1))
    assert history.since_of("2026-11-29 03:00", NIGHT) == at
    assert history.since_of("2026-11-29", NIGHT) == at - 3 * 3600


@pytest.mark.parametrize("text", ["", "yesterday", "-1h", "0001-01-01x", "24 hours ago", "\x1b[2J"])
def test_since_that_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match="24h"):
        history.since_of(text, NIGHT)


# --- JSON ---------------------------------------------------------------------------------------------------


def test_json_has_every_field_of_every_record_and_the_totals() -> None:
    made = json.loads(as_json(shown(MANY, Wanted(), notes=("a note",))))
    first, last = made["records"][0], made["records"][-1]
    assert (first["record"], last["record"]) == ("drain", "held")
    assert first["curve"] == [[60, 300_000_000], [3600, 2_300_000_000]]
    assert made["totals"]["jobs_cut"] == 2 and made["notes"] == ["a note"]
    assert made["totals"]["longest"]["worker"] == "sidekiq:sidekiq_0"


# --- the fleet ----------------------------------------------------------------------------------------------


def entries(*events: Event, host: str = "web-1/supervisor") -> list[Entry]:
    """What the listener on this host sends to the stream for these events."""
    found = list[Entry]()

    def record(pool: str, event: str, fields: Mapping[str, str]) -> None:
        found.append(Entry(1000.5, {"event": event, "host": host, **fields}))

    sink = StreamSink(record)
    for event in events:
        sink.take(event)
    return found


def kept(*events: Event) -> tuple[Record, ...]:
    """What the same listener writes into its own history."""
    store = Kept()
    sink = HistorySink(store, "web-1", lambda: 1000.5)
    for event in events:
        sink.take(event)
    return tuple(store.records)


HELD_LONG = WorkerHeldLong("jobs:one", 7, "jobs", None, "why", 3660.0)
OVER = WorkerHeldLongOver("jobs:one", 7, "jobs", None, "why", 9000.0)


@pytest.mark.parametrize(
    "events",
    [
        (QUIETING, STOPPING, DONE),
        (STOPPING, KILLED),
        (STOPPING, KILLED, LET_GO),
        (STOPPING, KILLED, QUIETING, StepEnded("jobs:one", 7, State.QUIETING, touched=True), LET_GO),
        (LET_GO, LET_GO),
        (HELD_LONG, OVER),
        (DrainKilled("jobs:one", 7, "jobs", Reason.MAX_RSS, StepCause.IDLE),),
    ],
)
def test_stream_and_own_history_say_the_same(events: tuple[Event, ...]) -> None:
    found = records_of("jobs", entries(*events))
    assert (found.records, found.not_understood) == (kept(*events), 0)


def test_killed_worker_of_one_host_hides_no_drain_of_another() -> None:
    both = [*entries(KILLED), *entries(LET_GO, host="web-2/supervisor")]
    assert [record.host for record in records_of("jobs", both).records] == ["web-1", "web-2"]


def test_entry_of_an_earlier_version_lacks_fields_and_is_shown() -> None:
    old = {
        "event": "drain.done",
        "host": "web-1/blue",
        "worker": "jobs:one",
        "pid": "8",
        "reason": "max_rss",
        "before_bytes": "300",
        "after_bytes": "90",
        "quiet_seconds": "1.5",
        "stopped_seconds": "0.5",
        "took_seconds": "4.0",
    }
    (record,) = records_of("jobs", [Entry(5.0, old)]).records
    assert isinstance(record, DrainRecord)
    assert (record.host, record.before_bytes, record.kind, record.cause) == ("web-1/blue", 300, None, None)
    bare = records_of("jobs", [Entry(5.0, {"event": "drain.let_go", "worker": "jobs:one"})])
    assert isinstance(bare.records[0], DrainRecord) and bare.records[0].took_seconds is None


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "drain.done"},
        {"event": "drain.done", "worker": "a", "pid": "-1"},
        {"event": "drain.done", "worker": "a", "took_seconds": "nan"},
        {"event": "drain.done", "worker": "a", "took_seconds": "-1"},
        {"event": "drain.done", "worker": "a", "before_bytes": "9" * 30},
        {"event": "drain.killed", "worker": "a", "busy": "x"},
        {"event": "worker.held_long", "worker": "a"},
    ],
)
def test_entry_that_no_version_writes_is_counted_and_hides_no_other(fields: Mapping[str, str]) -> None:
    found = records_of("jobs", [Entry(1.0, fields), *entries(DONE), Entry(1.0, {})])
    assert (len(found.records), found.not_understood) == (1, 1)


def test_entry_of_an_impossible_time_is_counted() -> None:
    found = records_of("jobs", [Entry(2.0**61, {"event": "drain.done", "worker": "a"})])
    assert (found.records, found.not_understood) == ((), 1)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def written(config: Path) -> Path:
    """The history of a listener whose supervisord is gone by now."""
    path, _ = paths_beside(config.parent / "own" / "memkill.journal")
    path.parent.mkdir(mode=0o700)
    now = time.time()
    path.write_bytes(
        to_line(drain(at=now - 3600, pool="job")) + to_line(killed(at=now - 8 * 86400, pool="job"))
    )
    path.chmod(0o600)
    return path


def test_history_is_read_while_nothing_runs(config: Path, written: Path) -> None:
    done = run(config.parent, "history", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert "sidekiq:sidekiq_0" in done.stdout and "KILLED" not in done.stdout
    assert "1 older record: --since all shows them" in done.stdout
    assert "\x1b" not in done.stdout
    everything = run(config.parent, "history", "--config", str(config), "--since", "all", "--json")
    assert [one["outcome"] for one in json.loads(everything.stdout)["records"]] == ["killed", "done"]


def test_names_and_filters_are_taken_from_the_command_line(config: Path, written: Path) -> None:
    words = ("history", "--config", str(config), "--since", "30d", "--json")
    for arguments, number in (
        (("job",), 2),
        (("sidekiq:*",), 2),
        (("--outcome", "killed"), 1),
        (("--outcome", "killed", "--outcome", "done"), 2),
        (("--reason", "restart"), 0),
    ):
        done = run(config.parent, *words, *arguments)
        assert len(json.loads(done.stdout)["records"]) == number, arguments


def test_no_history_is_said_with_its_place(config: Path) -> None:
    done = run(config.parent, "history", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("no drain since ")
    assert f"note: the listener has written no history yet ({config.parent}/own/memkill.journal.history)" in (
        done.stdout
    )


def test_damage_is_a_note_beside_what_can_be_read(config: Path, written: Path) -> None:
    newer = to_line(DRAIN).replace(b'"v":1', b'"v":2')
    written.write_bytes(b"junk\n" + newer + written.read_bytes())
    done = run(config.parent, "history", "--config", str(config))
    assert "sidekiq:sidekiq_0" in done.stdout
    assert "damaged lines, which are not shown: 1" in done.stdout
    assert "records of a newer version, which are not shown: 1" in done.stdout


def test_file_of_damage_alone_is_no_missing_history(config: Path, written: Path) -> None:
    written.write_bytes(b"junk\njunk\n")
    done = run(config.parent, "history", "--config", str(config))
    assert "damaged lines, which are not shown: 2" in done.stdout and "no history yet" not in done.stdout


def test_history_of_another_user_is_one_line() -> None:
    with short_directory() as directory:
        directory.chmod(0o755)
        own = directory / "own"
        own.mkdir(mode=0o700)
        path, _ = paths_beside(own / "memkill.journal")
        path.write_bytes(to_line(DRAIN))
        path.chmod(0o600)
        (directory / "memkill.conf").write_text(f"[memkill]\njournal = {own}/memkill.journal\n{CONFIG}")
        arguments = ("history", "--config", f"{directory}/memkill.conf")
        done = run(directory, *arguments, program=(str(PROGRAMS / "without_rights.py"),))
        if os.geteuid() == 0:
            words = "belongs to another user: run this as root or as the listener's user"
            assert_one_line(done, 1, str(path), words)
        else:
            assert "sidekiq:sidekiq_0" in done.stdout, "the same user"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reason", "max_rs"), ("--reason", "'max_rs'", "max_rss, hard_max_rss")),
        (("--outcome", "dead"), ("--outcome", "done, killed, let_go, held")),
        (("--since", "soon"), ("--since", "24h", "all")),
        (("--fleet",), ("--fleet needs redis",)),
    ],
)
def test_wrong_use_is_one_line_with_what_is_allowed(
    config: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_line(run(config.parent, "history", "--config", str(config), *arguments), 2, *words)


def test_name_that_nothing_has_is_one_line_with_the_pools(config: Path, written: Path) -> None:
    done = run(config.parent, "history", "--config", str(config), "jbo")
    assert_one_line(done, 1, "'jbo'", "the pools are job")


def test_redis_that_is_away_is_one_line(config: Path) -> None:
    text = config.read_text().replace("[memkill]", "[memkill]\nredis = redis://127.0.0.1:1/0")
    config.write_text(text)
    assert_one_line(run(config.parent, "history", "--config", str(config), "--fleet"), 1, "Redis")
