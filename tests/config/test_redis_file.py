"""Who may own the file with a URL, and who may read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.config import redis_file

URL = "redis://:s3cret@host/0"
OTHER, THIRD = 4242, 4343

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def written(path: Path, owner: int, mode: int) -> Path:
    path.write_text(URL)
    os.chown(path, owner, -1)
    path.chmod(mode)
    return path


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "reader"),
    [
        (OTHER, 0o600, OTHER),  # the listener's own
        (OTHER, 0o600, 0),  # the same by hand, as root
        (0, 0o600, 0),
        (0, 0o640, OTHER),  # root's, for the listener's group
        (0, 0o640, 0),  # the same by hand
    ],
)
def test_a_file_of_the_user_or_root_is_read(tmp_path: Path, owner: int, mode: int, reader: int) -> None:
    assert redis_file.read(written(tmp_path / "url", owner, mode), reader) == URL


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "reader", "told"),
    [
        (THIRD, 0o600, OTHER, f"belongs to user {THIRD}, not to this user ({OTHER}) or root"),
        (OTHER, 0o640, OTHER, "others can read or change it (mode 0640): run chmod 600"),
        (OTHER, 0o640, 0, "others can read or change it (mode 0640)"),
        (0, 0o644, OTHER, "others can read or change it (mode 0644)"),
        (0, 0o660, OTHER, "others can read or change it (mode 0660)"),
    ],
)
def test_a_file_that_others_could_read_or_have_written_is_refused(
    tmp_path: Path, owner: int, mode: int, reader: int, told: str
) -> None:
    with pytest.raises(ValueError) as refused:
        redis_file.read(written(tmp_path / "url", owner, mode), reader)
    assert told in str(refused.value) and "s3cret" not in str(refused.value)
