"""Where the journal of a supervisord is: by the supervisord and the listener's user, whoever asks and how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.listener.journal_place import directory_of, place

UID = 4321
"""A user that has no directory anywhere."""


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to("run")
    return tmp_path


def test_each_supervisord_has_its_own_file() -> None:
    one, two = (place([url], url, {}, UID).path for url in ("unix:///run/one.sock", "unix:///run/two.sock"))
    assert one != two
    assert one.parent == two.parent == Path("/tmp/supervisor-memkill-4321")


def test_spelling_of_the_address_makes_no_difference(linked: Path) -> None:
    for spelt, other in [
        ("http://localhost:9001", "http://127.0.0.1:9001"),
        (f"unix://{linked}/var/s.sock", f"unix://{linked}/run/s.sock"),
    ]:
        assert place([spelt], spelt, {}, UID).path == place([other], other, {}, UID).path


def test_environment_makes_no_difference(tmp_path: Path) -> None:
    url = "unix:///run/one.sock"
    places = [
        place([], url, env, UID).path for env in ({}, {"XDG_RUNTIME_DIR": str(tmp_path)}, {"HOME": "/x"})
    ]
    assert len(set(places)) == 1


def test_address_that_was_asked_makes_no_difference_where_the_supervisords_own_are_known() -> None:
    own = ["unix:///run/one.sock", "http://localhost:9001"]
    first = place(own, own[0], {}, UID)
    second = place(own, "http://127.0.0.1:9001", {}, UID)
    assert first.path == second.path
    alone = place([], "http://127.0.0.1:9001", {}, UID)
    assert alone.path in first.former, "found again after a second server section came before it"


def test_former_places_are_known(tmp_path: Path) -> None:
    """Those that earlier listeners took from the environment, with the address as it was spelt."""
    url = "http://127.0.0.1:9001"
    former = place([url], url, {"XDG_RUNTIME_DIR": str(tmp_path)}, UID).former
    name = "http-127-0-0-1-9001-b52e7b55.journal"
    assert tmp_path / "supervisor-memkill" / name in former
    assert Path("/run/user/4321/supervisor-memkill") / name in former


def test_newest_file_counts(tmp_path: Path) -> None:
    found = place([], "unix:///run/one.sock", {"XDG_RUNTIME_DIR": str(tmp_path)}, UID)
    assert found.existing() is None
    former = next(path for path in found.former if path.is_relative_to(tmp_path))
    former.parent.mkdir()
    former.touch()
    assert found.existing() == former


def test_directory_is_the_first_that_the_user_has_or_can_make(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    uid = os.geteuid()
    assert directory_of(uid, [], [first, second]) == second / f"supervisor-memkill-{uid}"
    first.mkdir()
    assert directory_of(uid, [], [first, second]) == first / f"supervisor-memkill-{uid}"
    (first / f"supervisor-memkill-{UID}").mkdir()
    assert directory_of(UID, [], [first, second]).parent == second, "another user made the first one"
    assert directory_of(0, [first], [second]) == first / "supervisor-memkill"
    none = tmp_path / "none"
    assert directory_of(0, [none], [none]) == none / "supervisor-memkill-0"
