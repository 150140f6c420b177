"""The settings that the pages on hooks show are valid as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.workers.registry import load_kind
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "hooks-and-notices.rst"
SETTINGS = [
    block for path in (PAGE, DOCS / "metrics.rst") for block in blocks(path) if block.startswith("[memkill]")
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_of_the_page_are_read(settings: str, tmp_path: Path) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(settings + "\n")
    load(read_file(path), {}, "here", load_kind)
