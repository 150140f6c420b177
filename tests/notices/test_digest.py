"""A storm of one event is few messages, and none of its events is uncounted."""

from __future__ import annotations

from supervisor_memkill.notices.delivery import Delivery
from supervisor_memkill.notices.digest import GATHER_SECONDS, MAX_SHOWN, WINDOW_SECONDS, Batch, Digest
from supervisor_memkill.notices.events import JournalAway, SupervisordAway


def away(number: int) -> Delivery:
    return Delivery(SupervisordAway(str(number)), float(number))


def sizes(batches: list[Batch]) -> list[tuple[str, int]]:
    return [(batch.name, batch.count) for batch in batches]


def test_first_event_is_sent_after_a_moment_with_those_that_came_with_it() -> None:
    digest = Digest()
    for number in range(3):
        digest.take(away(number), 100.0 + number)
    assert digest.next_at() == 100.0 + GATHER_SECONDS
    assert digest.due(100.0 + GATHER_SECONDS - 0.1) == []
    assert digest.due(100.0 + GATHER_SECONDS) == [Batch("supervisord.away", (away(0), away(1), away(2)), 3)]
    assert digest.next_at() is None
    assert digest.due(100.0 + WINDOW_SECONDS) == []


def test_those_that_follow_are_one_message_at_the_end_of_the_window() -> None:
    digest = Digest()
    digest.take(away(0), 0.0)
    assert len(digest.due(GATHER_SECONDS)) == 1
    for number in range(1, 50):
        digest.take(away(number), GATHER_SECONDS + number)
        assert digest.due(GATHER_SECONDS + number) == []
    (batch,) = digest.due(GATHER_SECONDS + WINDOW_SECONDS)
    assert (len(batch.shown), batch.count) == (MAX_SHOWN, 49)


def test_event_after_a_quiet_window_is_sent_soon_again() -> None:
    digest = Digest()
    digest.take(away(0), 0.0)
    digest.due(GATHER_SECONDS)
    later = GATHER_SECONDS + WINDOW_SECONDS + 1
    digest.take(away(1), later)
    assert digest.next_at() == later + GATHER_SECONDS


def test_other_events_do_not_wait_for_a_storm() -> None:
    digest = Digest()
    digest.take(away(0), 0.0)
    digest.due(GATHER_SECONDS)
    digest.take(away(1), 10.0)
    digest.take(Delivery(JournalAway("disk"), 10.0), 10.0)
    assert sizes(digest.due(10.0 + GATHER_SECONDS)) == [("journal.away", 1)]


def test_end_sends_everything_that_waits() -> None:
    digest = Digest()
    digest.take(away(0), 0.0)
    digest.due(GATHER_SECONDS)
    digest.take(away(1), 10.0)
    digest.take(away(2), 11.0)
    assert sizes(digest.rest()) == [("supervisord.away", 2)]
    assert digest.rest() == []
