"""The code map in CONTRIBUTING.rst names each module that exists, and no other."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

PACKAGE = ROOT / "supervisor_memkill"
TESTS = ROOT / "tests"


def names() -> set[str]:
    """The files and folders that the code map names."""
    page = (ROOT / "CONTRIBUTING.rst").read_text()
    text = page.partition("Where things are\n")[2].partition("Rules that a change must keep\n")[0]
    return set(re.findall(r"``([\w./]+(?:\.py|/))``", text))


def test_each_name_of_the_code_map_exists() -> None:
    found = names()
    assert found
    assert {name for name in found if not (PACKAGE / name).exists() and not (ROOT / name).exists()} == set()


def test_each_folder_and_each_module_beside_the_folders_of_the_package_is_in_the_code_map() -> None:
    folders = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert (folders | modules) - names() == set()


def test_each_folder_and_each_shared_module_of_the_tests_is_in_the_code_map() -> None:
    of_the_package = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.parent.name for path in TESTS.glob("*/*.py")} - of_the_package
    shared = {
        path.name
        for path in TESTS.glob("*.py")
        if not path.name.startswith(("test_", "__init__", "conftest"))
    }
    assert {f"tests/{name}/" for name in folders} | {f"tests/{name}" for name in shared} <= names()
