"""The page on suspects shows what the command prints, and documents all that its JSON has."""

from __future__ import annotations

import json
import re

from supervisor_memkill.commands.suspects_of import DRAWS, Verdict
from supervisor_memkill.commands.suspects_screen import screen
from supervisor_memkill.commands.suspects_values import as_json, shown
from supervisor_memkill.commands.terminal import Terminal
from supervisor_memkill.listener import line_file
from tests.commands.observed import Made
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "suspects.rst"
OBSERVED = Made({"Report": 30.0}, intervals=120, lives=120).observe(4, "sidekiq")


def without_time(text: str) -> str:
    """The documented time is that of one time zone."""
    return re.sub(r"since [-\d]+ [\d:]+", "since TIME", text)


def test_page_shows_the_screen_that_the_command_prints_at_80_columns() -> None:
    (example,) = [block for block in blocks(PAGE) if block.startswith("sidekiq: ")]
    printed = "\n".join(screen(shown(OBSERVED, []), Terminal(80)))
    assert without_time(example) == without_time(printed)


def test_page_shows_the_json_that_the_command_writes() -> None:
    (example,) = [json.loads(block) for block in blocks(PAGE) if block.startswith("{")]
    assert example == json.loads(as_json(shown(OBSERVED, [])))


def test_page_names_every_verdict_and_the_bounds_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert all(f"``{verdict.value}``" in text for verdict in Verdict)
    assert f"At {line_file.MAX_BYTES // 1024**2} MB it is renamed" in text
    assert f"in how many of {DRAWS} repetitions" in text
