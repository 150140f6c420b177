"""The pages of the documentation, as the tests read them."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[2]
README = ROOT / "README.rst"
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "conf.d").glob("*.conf"))
REFERENCE = ROOT / "conf.d" / "reference.conf"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.rst",
    ROOT / "CHANGELOG.rst",
    *sorted(DOCS.rglob("*.rst")),
]
HOME = "https://github.com/supervisor-memkill/supervisor-memkill/blob/main/"
RAW = "https://raw.githubusercontent.com/supervisor-memkill/supervisor-memkill/main/"


def name_of(path: Path) -> str:
    """The path as people write it, for the name of a test."""
    return str(path.relative_to(ROOT))


def read(path: Path) -> nodes.document:
    """The page. Raises SystemMessage for what is not valid reStructuredText."""
    return publish_doctree(
        path.read_text(), source_path=str(path), settings_overrides={"report_level": 2, "halt_level": 2}
    )


def blocks(path: Path) -> Iterator[str]:
    """The texts of the literal blocks of a page."""
    for block in read(path).findall(nodes.literal_block):
        yield block.astext()


def table(path: Path, title: str) -> list[list[str]]:
    """The rows of one table, without its head; cells as plain text."""
    for found in read(path).findall(nodes.table):
        heading = next(found.findall(nodes.title), None)
        if heading is not None and heading.astext() == title:
            body = next(found.findall(nodes.tbody))
            return [
                [entry.astext().replace("\n", " ") for entry in row.findall(nodes.entry)]
                for row in body.findall(nodes.row)
            ]
    raise LookupError(f"{path} has no table {title!r}")


def script(name: str) -> Mapping[str, Any]:
    """What a script defines, without running its main."""
    return runpy.run_path(str(ROOT / "scripts" / name))
