"""The recipes of docs/evidence.rst, written into a directory of a test."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "evidence.rst"
DUMPS, OBJECTS = "/var/tmp/memkill", "/usr/local/lib/memkill-objects.py"


def block(beginning: str, holding: str = "") -> str:
    """The only block that begins like this, and holds the text."""
    (found,) = [one for one in blocks(PAGE) if one.startswith(beginning) and holding in one]
    return found


def script(name: str, directory: Path) -> Path:
    """The page's script of this name, made executable; its dumps go into the directory."""
    text = block("#!/bin/sh", f"# usage: {name} ")
    path = directory / name
    path.write_text(placed(text, directory) + "\n")
    path.chmod(0o755)
    return path


def placed(text: str, directory: Path) -> str:
    """The text with the directory in place of those of a system."""
    return text.replace(OBJECTS, str(directory / "objects.py")).replace(DUMPS, str(directory))
