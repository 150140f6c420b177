"""A disk that takes no new file is named; one that is not known well is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.world.full_disk import why_unwritable

# block size, fragment size, blocks, free, available, files, free, available, flags, length of a name
SOUND = (4096, 4096, 100, 9, 5, 50, 7, 7, 0, 255)


def why(is_root: int = False, **changes: int) -> str:
    order = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail")
    values = dict(zip((*order, "f_flag", "f_namemax"), SOUND, strict=True)) | changes
    return why_unwritable(
        Path("/run/x"), lambda path: os.statvfs_result(tuple(values.values())), is_root=bool(is_root)
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"f_bavail": 0}, "no space is left in the file system of /run/x"),
        ({"f_favail": 0}, "no inode is left in the file system of /run/x"),
        ({"f_flag": os.ST_RDONLY}, "the file system of /run/x is read-only"),
    ],
)
def test_disk_that_takes_no_file_is_named(changes: dict[str, int], words: str) -> None:
    assert why(**changes) == words


def test_disk_with_room_and_one_that_counts_nothing_are_no_cause() -> None:
    assert why() == ""
    assert why(f_blocks=0, f_bavail=0, f_files=0, f_favail=0) == "", "a file system without such numbers"


def test_root_may_use_what_a_file_system_keeps_in_reserve() -> None:
    assert why(is_root=True, f_bavail=0, f_favail=0) == ""
    assert why(is_root=True, f_bfree=0) == "no space is left in the file system of /run/x"
    assert why(is_root=True, f_ffree=0) == "no inode is left in the file system of /run/x"
    assert why(is_root=True, f_flag=os.ST_RDONLY) == "the file system of /run/x is read-only"


def test_directory_that_is_not_there_is_no_cause(tmp_path: Path) -> None:
    assert why_unwritable(tmp_path / "none") == ""
