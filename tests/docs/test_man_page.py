"""The man page has every command and option that the command line takes, and is what roff can show."""

from __future__ import annotations

import re
import subprocess

from supervisor_memkill.commands import parsing
from tests.docs.pages import DOCS, ROOT, script
from tests.harness import require_program

PAGE = DOCS / "supervisor-memkill.1"
OF_SUPERVISORD = {"SUPERVISOR_ENABLED", "SUPERVISOR_GROUP_NAME"}
"""Variables that supervisord sets for its processes, and nobody else."""


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


def test_man_page_has_every_variable_of_the_environment_that_the_program_reads() -> None:
    sources = [path.read_text() for path in (ROOT / "supervisor_memkill").rglob("*.py")]
    names = re.compile(r'"((?:MEMKILL|SUPERVISOR)_[A-Z_]*[A-Z]|NO_COLOR)"')
    read = {name for text in sources for name in names.findall(text)}
    (section,) = re.findall(r"^\.SH ENVIRONMENT\n(.*?)(?=^\.SH)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"[A-Z]+_[A-Z_]+", plain(section)))
    assert read - OF_SUPERVISORD == named


def test_no_text_of_the_man_page_is_taken_for_a_request() -> None:
    known = {".TH", ".SH", ".SS", ".B", ".P", ".TP", '.\\"'}
    requests = {line.split(" ")[0] for line in PAGE.read_text().splitlines() if line[:1] in (".", "'")}
    assert requests <= known


def test_roff_has_nothing_to_complain_about() -> None:
    words = [require_program("groff"), "-man", "-ww", "-Tutf8", str(PAGE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "supervisor" in done.stdout
