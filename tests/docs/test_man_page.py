"""The man page has every command and option that the command line takes, and is what roff can show."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from supervisor_memkill.commands import parsing
from tests.docs.pages import DOCS, script

PAGE = DOCS / "supervisor-memkill.1"


def plain(text: str) -> str:
    """Without the escapes of roff."""
    return re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")


def test_man_page_is_the_one_that_the_parsers_make() -> None:
    """After a change: .venv-test/bin/python scripts/build-docs.py."""
    assert script("build-docs.py")["generate"]()[PAGE] == PAGE.read_text()


def test_man_page_has_every_command_and_option() -> None:
    text = plain(PAGE.read_text())
    parser = parsing.parser_of()
    for command in parsing.COMMANDS:
        (section,) = re.findall(
            rf"^\.SS supervisor-memkill {command.name}\n(.*?)(?=^\.S)", text, re.MULTILINE | re.DOTALL
        )
        taken = {flag for flag, names in parser.takers.items() if command.name in names}
        taken |= {option.flag for option in command.options}
        assert {flag for flag in taken if f"\n{flag}" not in section} == set(), command.name
    for option in parsing.OPTIONS:
        assert f"\n{option.flag}" in text


def test_no_text_of_the_man_page_is_taken_for_a_request() -> None:
    known = {".TH", ".SH", ".SS", ".B", ".P", ".TP", '.\\"'}
    requests = {line.split(" ")[0] for line in PAGE.read_text().splitlines() if line[:1] in (".", "'")}
    assert requests <= known


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_roff_has_nothing_to_complain_about() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", str(PAGE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and "supervisor" in done.stdout
