"""The small world that these tests let a listener live in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.listener_world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The listener's journal."""
    return tmp_path / "own" / "here.journal"
