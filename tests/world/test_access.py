"""Who may use a socket, by its mode and those of the directories above."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from supervisor_memkill.world.access import uid_of, user_name, why_closed

NOBODY = pwd.getpwnam("nobody")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def socket(short_path: Path) -> Path:
    path = short_path / "s"
    path.touch()
    short_path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "is_closed"),
    [
        (0o700, 0, 0, True),
        (0o770, 0, 0, True),
        (0o777, 0, 0, False),
        (0o770, 0, NOBODY.pw_gid, False),
        (0o750, 0, NOBODY.pw_gid, True),
        (0o700, NOBODY.pw_uid, 0, False),
        (0o077, NOBODY.pw_uid, 0, True),
    ],
)
def test_owner_group_or_others_decide(socket: Path, mode: int, uid: int, gid: int, is_closed: bool) -> None:
    socket.chmod(mode)
    os.chown(socket, uid, gid)
    why = why_closed(socket, NOBODY.pw_uid)
    assert bool(why) is is_closed
    assert not why or (str(socket) in why and "nobody" in why)
    assert why_closed(socket, 0) == "", "root may do everything"


def test_closed_directory_closes_the_socket(socket: Path) -> None:
    socket.chmod(0o777)
    socket.parent.chmod(0o700)
    assert str(socket.parent) in why_closed(socket, NOBODY.pw_uid)


def test_socket_that_is_not_there_is_not_known(socket: Path) -> None:
    assert why_closed(socket.with_name("none"), NOBODY.pw_uid) == ""


def test_users_have_names_and_numbers() -> None:
    assert (uid_of("nobody"), uid_of(str(NOBODY.pw_uid)), uid_of("no-such-user")) == (NOBODY.pw_uid,) * 2 + (
        None,
    )
    assert (user_name(0), user_name(None), user_name(2**31 - 9)) == ("root", "", str(2**31 - 9))
