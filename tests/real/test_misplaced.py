"""A key of ours in a section of supervisord is named wherever a person looks first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import run
from tests.real.listener_process import AnsweringSupervisord, listener_under

PLACED_WRONGLY = "[program:job]\ncommand = job\nmax_rss = 500MB\n"


@pytest.mark.real
def test_misplaced_key_is_named_at_the_start_by_the_dry_run_and_by_the_doctor(
    supervisord: AnsweringSupervisord, tmp_path: Path
) -> None:
    where, right = "[program:job] max_rss = '500MB'", "has no effect here, and belongs in [memkill:job]"
    with listener_under(supervisord, tmp_path, pools=PLACED_WRONGLY) as listener:
        (line,) = [line for line in listener.log().splitlines() if " supervisord.alert " in line]
        assert where in line and right in line
        given = ("--config", str(tmp_path / "memkill.conf"), "--serverurl", supervisord.url)
        for command in ("--dry-run", "doctor"):
            assert f"{where}: {right}" in " ".join(run(tmp_path, command, *given).stdout.split()), command
