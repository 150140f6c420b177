"""Which records ``history`` shows, their totals, and both as JSON."""

from __future__ import annotations

import json
import time

import pytest

from supervisor_memkill.commands import history
from supervisor_memkill.commands.history_values import Shown, Wanted, as_json, shown, totals
from supervisor_memkill.errors import UsageError
from supervisor_memkill.notices.records import Record
from tests.commands.night import MANY, NIGHT
from tests.notices.record_values import drain, held, killed


def of(made: Shown) -> list[str]:
    return [record.worker for record in made.records]


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


def test_json_has_every_field_of_every_record_and_the_totals() -> None:
    made = json.loads(as_json(shown(MANY, Wanted(), notes=("a note",))))
    first, last = made["records"][0], made["records"][-1]
    assert (first["record"], last["record"]) == ("drain", "held")
    assert first["curve"] == [[60, 300_000_000], [3600, 2_300_000_000]]
    assert made["totals"]["jobs_cut"] == 2 and made["notes"] == ["a note"]
    assert made["totals"]["longest"]["worker"] == "sidekiq:sidekiq_0"
