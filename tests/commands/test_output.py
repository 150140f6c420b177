"""What a command writes cannot steer the terminal, whoever chose the names in it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import supervisor_memkill.commands
from supervisor_memkill.commands import output, restart
from supervisor_memkill.commands.fleet_request import Sent
from supervisor_memkill.coordination.contract import ListenerView, PoolView
from supervisor_memkill.rules.requests import Act, OperatorRequest
from tests.builders import report

FOLDER = Path(supervisor_memkill.commands.__file__).parent
DRAWN = {"status.py": 1, "restart.py": 1}
"""Texts that are drawn again and again; their parts are clean already."""


def test_line_with_control_characters_is_one_line_of_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("web\x1b[2J\nsupervisor-memkill: all is well\r\x07")
    assert capsys.readouterr().out == "web\\x1b[2J\\nsupervisor-memkill: all is well\\r\\x07\n"


class Everywhere:
    """A pool whose only listener is silent, and has a name that somebody wrote into Redis."""

    name = "web\x1b]0;owned\x07/supervisor"
    pools = ("jobs",)

    def send(self, act: Act, names: Any, *, lasts_seconds: float | None, except_hard: bool = False) -> Any:
        return [Sent("jobs", OperatorRequest("ab" * 8, act, tuple(names), lasts_seconds), 0.0)]

    def wait_for_answers(self, sent: Any) -> Any:
        listener = ListenerView(self.name, is_silent=True, seen_seconds_ago=99.0, answers={})
        return {"jobs": PoolView((report(f"{self.name}/jobs:x"),), listeners=(listener,))}

    def longest_left_seconds(self) -> float:
        return 0.0


def test_name_of_a_silent_listener_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    everywhere: Any = Everywhere()
    assert restart._cancel_fleet(everywhere, ["jobs"], 60.0) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown
    assert shown.endswith("reaches them when they come: web\\x1b]0;owned\\x07/supervisor\n")


def test_no_command_writes_a_text_with_names_in_it_but_as_a_line() -> None:
    """`output.say` makes the line clean. Screens, tables and JSON are made of clean parts."""
    found: dict[str, int] = {}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "output.show":
                is_filled_in = any(isinstance(argument, ast.JoinedStr) for argument in node.args)
                found[path.name] = found.get(path.name, 0) + is_filled_in
    assert {name: count for name, count in found.items() if count} == DRAWN
