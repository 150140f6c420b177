"""Makes the mutants: the rules of the shipped code, each removed or inverted in turn.

In Python: a comparison, a condition, an ``and`` or ``or``, a ``not``, a returned True or False, a statement
that calls or that changes what lasts. In Lua: a condition, a comparison, a statement that stands on a line of
its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

DOCTOR = tuple(
    f"commands/doctor/{name}.py"
    for name in ("configuration", "listener", "pools", "redis", "supervisord", "surroundings")
)
PYTHON = (
    "child.py",
    "commands/web/access.py",
    "commands/web/html.py",
    "commands/web/once.py",
    "commands/web/site.py",
    "commands/web/tries.py",
    "config/misplaced.py",
    "config/private_file.py",
    "rules/policy.py",
    "rules/back_off.py",
    "rules/hours.py",
    "rules/requests.py",
    "rules/standing.py",
    "rules/drain.py",
    "rules/decision.py",
    "rules/from_the_stop.py",
    "rules/step.py",
    "rules/after_drain.py",
    "rules/evidence.py",
    "rules/shortage.py",
    "rules/stop_end.py",
    "config/loaded.py",
    "coordination/in_process.py",
    "coordination/read_only.py",
    "coordination/rules.py",
    "workers/ownership.py",
    "listener/actions.py",
    "listener/adoption.py",
    "listener/doubts.py",
    "listener/drafts.py",
    "listener/drain_observer.py",
    "listener/drainer.py",
    "listener/evidence.py",
    "listener/fleet.py",
    "listener/former_looks.py",
    "listener/growth.py",
    "listener/guard.py",
    "listener/hearing.py",
    "listener/heartbeat.py",
    "listener/history_file.py",
    "listener/interval_file.py",
    "listener/line_file.py",
    "listener/holds.py",
    "listener/known_processes.py",
    "listener/largest.py",
    "listener/ledger.py",
    "listener/outage.py",
    "listener/programs.py",
    "listener/recognition.py",
    "listener/journal_format.py",
    "listener/journal_format_1.py",
    "listener/observer.py",
    "listener/pool_sizes.py",
    "listener/reports.py",
    "listener/requests.py",
    "listener/same_process.py",
    "listener/schedule.py",
    "listener/probe.py",
    "listener/shortage.py",
    "listener/slots.py",
    "listener/take_over.py",
    "notices/background.py",
    "notices/choice.py",
    "notices/curves.py",
    "notices/delivery.py",
    "notices/digest.py",
    "notices/gauges.py",
    "notices/history.py",
    "notices/hooks.py",
    "notices/notify.py",
    "notices/intervals.py",
    "notices/job_growth.py",
    "notices/job_watch.py",
    *DOCTOR,
    "commands/least_squares.py",
    "commands/suspects_of.py",
    "notices/stream.py",
    "workers/advice.py",
    "workers/rq/job_names.py",
    "workers/auto.py",
    "workers/dramatiq.py",
    "workers/laravel.py",
    "workers/messenger.py",
    "workers/queues.py",
    "workers/celery/stop.py",
    "workers/sidekiq/timeout.py",
    "world/bounds.py",
    "world/full_disk.py",
    "world/http_post.py",
    "world/own_supervisord.py",
    "world/redis_commands.py",
    "world/redis_wire.py",
    "world/shared_redis.py",
    "world/xml_rpc.py",
)
LUA = tuple(f"coordination/lua/{name}.lua" for name in ("common", "acquire", "publish", "release", "request"))

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


@dataclass(frozen=True)
class Mutant:
    """One file with one rule broken."""

    path: str
    """Relative to the package."""
    line: int
    last_line: int
    """Of the piece that was changed."""
    where: str
    """The function that it stands in; empty outside of all."""
    was: str
    """The piece of source that was changed, on one line."""
    now: str
    text: str
    """The whole file."""

    @property
    def name(self) -> str:
        """Stable while other lines of the file change."""
        return f"{self.path}, {self.where}: {self.was} -> {self.now}"


def mutants(package: Path) -> Iterator[Mutant]:
    """Every mutant of the core and of the Lua scripts."""
    for path in PYTHON:
        yield from _of_python(path, (package / path).read_text())
    for path in LUA:
        yield from _of_lua(path, (package / path).read_text())


def _of_python(path: str, source: str) -> Iterator[Mutant]:
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in ast.walk(tree):
        for old, new in _replacements(node):
            start, end = _offset(lines, old.lineno, old.col_offset), _end(lines, old)
            was, where = source[start:end], _function(functions, old.lineno)
            text = f"{source[:start]}{new}{source[end:]}"
            if where != "__init__":  # Without what it keeps, nothing works at all.
                last = old.end_lineno or old.lineno
                yield Mutant(path, old.lineno, last, where, _one_line(was), _one_line(new), text)


def _function(functions: list[ast.FunctionDef], line: int) -> str:
    """The innermost function round a line; the functions are in the order from the outside inwards."""
    found = ""
    for node in functions:
        if node.lineno <= line <= (node.end_lineno or line):
            found = node.name
    return found


def _replacements(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Each piece to put something else for, with that."""
    if _is_effect(node):
        yield node, "pass"
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table in (_COMPARISONS, _BOUNDARIES):
            other = table.get(type(node.ops[0]))
            if other is not None:
                yield node, f"({ast.unparse(ast.Compare(node.left, [other()], node.comparators))})"
    elif isinstance(node, ast.BoolOp):
        other_op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield node, f"({ast.unparse(ast.BoolOp(other_op, node.values))})"
        for index in range(len(node.values)):
            rest = [value for place, value in enumerate(node.values) if place != index]
            yield node, f"({ast.unparse(rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.If | ast.IfExp) and ast.unparse(node.test) != "TYPE_CHECKING":
        yield node.test, "True"
        yield node.test, "False"
    elif (
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, bool)
    ):
        yield node.value, str(not node.value.value)


def _is_effect(node: ast.AST) -> TypeGuard[ast.stmt]:
    """A statement that is there for what it does to something else."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    return isinstance(node, ast.AugAssign | ast.Delete)


def _offset(lines: list[str], line: int, column: int) -> int:
    """Where in the text; columns count bytes of UTF-8."""
    before = lines[line - 1].encode()[:column].decode()
    return sum(len(text) for text in lines[: line - 1]) + len(before)


def _end(lines: list[str], node: ast.expr | ast.stmt) -> int:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return _offset(lines, node.end_lineno, node.end_col_offset)


_CONDITION = re.compile(r"\b(if|elseif) (.+?) then\b")
_LUA_COMPARISONS = [("<", ">="), (">=", "<"), (">", "<="), ("<=", ">"), ("==", "~="), ("~=", "==")]
_LUA_BOUNDARIES = [("<", "<="), ("<=", "<"), (">", ">="), (">=", ">")]
_STATEMENT = re.compile(r"\s+(redis\.call\(.*\)|meta\.\w+(, meta\.\w+)* = .*|request\.dry = .*|[\w.]+ = .*)$")


def _of_lua(path: str, source: str) -> Iterator[Mutant]:
    lines = source.splitlines(keepends=True)
    where = ""
    for index, line in enumerate(lines):
        code = line.split("--")[0].rstrip("\n")
        where = found[1] if (found := re.search(r"\bfunction (\w+)\(", code)) else where
        where = "" if line.startswith("end") else where
        for fresh in dict.fromkeys(_lua_lines(code)):
            changed = "".join([*lines[:index], fresh + "\n", *lines[index + 1 :]])
            yield Mutant(path, index + 1, index + 1, where, _one_line(code), _one_line(fresh), changed)


def _lua_lines(code: str) -> Iterator[str]:
    for found in _CONDITION.finditer(code):
        for fresh in (f"not ({found[2]})", "true", "false"):
            yield f"{code[: found.start(2)]}{fresh}{code[found.end(2) :]}"
    for old, new in [*_LUA_COMPARISONS, *_LUA_BOUNDARIES]:
        for place in re.finditer(rf" {re.escape(old)} ", code):
            yield f"{code[: place.start()]} {new} {code[place.end() :]}"
    for old, new in (("and", "or"), ("or", "and"), ("math.max", "math.min"), ("math.min", "math.max")):
        for place in re.finditer(rf"\b{re.escape(old)}\b", code):
            yield f"{code[: place.start()]}{new}{code[place.end() :]}"
    if _STATEMENT.match(code) and code.count("(") == code.count(")") and code.count("{") == code.count("}"):
        yield code[: len(code) - len(code.lstrip())] + "do end"


def _one_line(text: str) -> str:
    return " ".join(text.split())
