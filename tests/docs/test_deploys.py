"""The recipes for a deploy request the restart by a command that exists, and all by the same one."""

from __future__ import annotations

import re
import subprocess

import pytest

from supervisor_memkill.commands import parsing
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "restarts-and-pauses.rst"
BEGINNINGS = ("#!/bin/sh", "namespace :workers", "- name: Replace")


def recipe(beginning: str) -> str:
    (found,) = [block for block in blocks(PAGE) if block.startswith(beginning)]
    return found


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_recipe_waits_until_all_hosts_have_replaced_their_workers(beginning: str) -> None:
    plain = re.sub(r"[\",]", "", recipe(beginning))
    (words,) = re.findall(r"supervisor-memkill (.+)", plain)
    chosen, parsed = parsing.parse(words.split(), {})
    assert chosen is not None and chosen.name == "restart"
    assert (parsed.names, parsed.fleet, parsed.wait, parsed.timeout) == (["sidekiq"], True, True, "30m")


def test_shell_recipe_is_valid_and_stops_at_the_first_error() -> None:
    script = recipe("#!/bin/sh")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert script.splitlines()[1] == "set -e"
