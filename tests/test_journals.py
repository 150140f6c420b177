"""The tests leave no journal behind, and take nobody else's."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.listener.journal_place import PROGRAM, place
from tests import journals


def test_journals_of_the_tests_are_removed_and_no_others(tmp_path: Path) -> None:
    folder, of_another_user = tmp_path / "run" / PROGRAM, tmp_path / "tmp" / f"{PROGRAM}-7"
    for one in (folder, of_another_user):
        one.mkdir(parents=True)
    addresses = ["unix:///tmp/mk-a_b/s.sock", "http://127.0.0.1:18001", "unix:///run/supervisor.sock"]
    ours, at_a_port, theirs = (place([url], url, {}, 7).path.name for url in addresses)
    for name in (ours, f"{ours}.lock", f"{ours}.state", at_a_port, theirs):
        (folder / name).touch()
        (of_another_user / name).touch()
    places = [journals.of_directory(Path("/tmp/mk-a_b")), journals.of_port(18001)]
    journals.remove(places, [tmp_path / "run", tmp_path / "absent"], [tmp_path / "tmp"])
    assert [path.name for path in folder.iterdir()] == [theirs]
    assert [path.name for path in of_another_user.iterdir()] == [theirs]
