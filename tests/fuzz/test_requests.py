"""Requests of people, from supervisord and from Redis: taken rightly, or refused in one line."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import Offer
from supervisor_memkill.rules.requests import (
    MAX_BYTES,
    MAX_NAMES,
    MAX_SECONDS,
    Act,
    decode,
    encode,
)
from tests.fuzz.effort import tries
from tests.fuzz.values import DEEP, JSON, TEXTS, assert_one_line, near, near_json, to_text
from tests.listener_world import Life, SharedCoordinator, World

ID = "ab" * 8
RIGHT: dict[str, Any] = {
    "version": 1,
    "id": ID,
    "act": "restart",
    "names": ["jobs", "jobs:o*"],
    "lasts_seconds": 3600.0,
    "except_hard": False,
}
PAUSE = {**RIGHT, "act": "pause", "lasts_seconds": None}
PAYLOADS = st.one_of(
    st.sampled_from([RIGHT, PAUSE, {**RIGHT, "act": "cancel"}, {**RIGHT, "act": "unpause"}]).map(to_text),
    st.sampled_from([RIGHT, PAUSE]).flatmap(near_json).map(to_text),
    near(st.just(to_text(RIGHT))),
    st.sampled_from([{**RIGHT, "command": "rm -rf /"}, {**RIGHT, "version": 2}]).map(to_text),
    JSON.map(to_text),
    TEXTS,
    st.sampled_from([DEEP, "x" * 5000, to_text({**RIGHT, "names": ["x"] * 51})]),
)


@tries(150)
@example(to_text({**RIGHT, "lasts_seconds": float("nan")}))
@example(to_text({**RIGHT, "lasts_seconds": True}))
@example(to_text({**RIGHT, "names": ["a\nb"]}))
@example(to_text({**RIGHT, "id": "../../etc"}))
@example(DEEP)
@given(PAYLOADS)
def test_payload_is_a_bounded_request_or_refused_in_one_line(payload: str) -> None:
    try:
        request = decode(payload)
    except ValueError as error:
        assert_one_line(str(error))
        assert len(str(error)) < 200
        return
    assert len(payload.encode(errors="replace")) <= MAX_BYTES
    assert 1 <= len(request.names) <= MAX_NAMES
    assert all(name.isascii() and name.isprintable() and " " not in name for name in request.names)
    assert request.lasts_seconds is None or 0 < request.lasts_seconds <= MAX_SECONDS
    assert request.act is not Act.RESTART or request.lasts_seconds is not None
    assert decode(encode(request)) == request


OFFERS = st.builds(
    Offer,
    st.sampled_from([ID, "cd" * 8]) | TEXTS.filter(bool),
    PAYLOADS,
    st.sampled_from([0.0, 30.0, 1e12]),
    st.sampled_from([None, 0.001, 3600.0, 1e12]),
)


@tries(20)
@given(st.lists(OFFERS, min_size=1, max_size=4, unique_by=lambda offer: offer.id))
def test_every_offer_is_answered_and_the_listener_goes_on(tmp_path: Path, offers: list[Offer]) -> None:
    world = World()
    shared = SharedCoordinator(world)
    shared.offers, shared.offered_at = offers, world.now
    path = tmp_path / secrets.token_hex(8) / "memkill.journal"
    life = Life(world, path, coordinate=lambda contents: shared)
    life.run(12)
    life.die()
    assert set(shared.answers) == {offer.id for offer in offers}
    for offer in offers:
        refused = shared.answers[offer.id].refused
        if refused:
            assert_one_line(refused)
        else:
            assert decode(offer.text).id == offer.id
    assert life.stream.having("failed") == []
    assert world.broken_promises == []
