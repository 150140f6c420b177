"""Fixtures for tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import CONFIG
from tests.listener_world import World


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one pool, and a journal that only the test has."""
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill]\njournal = {tmp_path}/own/memkill.journal\n{CONFIG}")
    return path


@pytest.fixture
def world() -> World:
    """A supervisord with three workers of one pool, in the memory of the test."""
    return World()
