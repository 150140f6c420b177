"""Writes the generated parts of the documentation: ``.venv-test/bin/python scripts/build-docs.py``.

A generated part of a page stands between ``.. begin: NAME`` and ``.. end: NAME``. conf.d/reference.conf is
generated, too, and the man page docs/supervisor-memkill.1. With ``--check`` nothing is written, and the exit
status is 1 when a file is out of date.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from man_page import man_page  # noqa: E402

from supervisor_memkill.commands import status_values  # noqa: E402
from supervisor_memkill.commands.doctor import catalogue as doctor  # noqa: E402
from supervisor_memkill.commands.doctor.finding import Fault  # noqa: E402
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, REQUIRED, default_text  # noqa: E402
from supervisor_memkill.notices.catalogue import CATALOGUE  # noqa: E402
from supervisor_memkill.notices.choice import BY_DEFAULT  # noqa: E402
from supervisor_memkill.notices.event import Event, Level  # noqa: E402
from supervisor_memkill.notices.metric_table import METRICS  # noqa: E402
from supervisor_memkill.rules.causes import Reason, StepCause  # noqa: E402
from supervisor_memkill.rules.policy import Hold  # noqa: E402
from supervisor_memkill.worded import Worded  # noqa: E402
from supervisor_memkill.workers.contract import Option  # noqa: E402
from supervisor_memkill.workers.registry import BUILT_IN, load_kind  # noqa: E402

REFERENCE = ROOT / "conf.d" / "reference.conf"
MAN_PAGE = ROOT / "docs" / "supervisor-memkill.1"
COMMAND = "scripts/build-docs.py"
WIDTH = 110

KEYS = {*GLOBAL_KEYS, *POOL_KEYS}.union(*(load_kind(kind).options for kind in BUILT_IN))
_LITERAL = re.compile(
    rf"\b(?:{'|'.join(sorted((key for key in KEYS if '_' in key), key=len, reverse=True))})\b"
    r"|\[memkill\]|MEMKILL_REDIS|\w[\w+]*://|\bgroup:name\b|%\(\w+\)s(?: %\(\w+\)s)*"
)


def main(arguments: list[str]) -> int:
    outdated = [path for path, text in generate().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is out of date: run {COMMAND}", file=sys.stderr)
        return 1 if outdated else 0
    for path in outdated:
        path.write_text(generate()[path])
        print(path.relative_to(ROOT))
    return 0


def generate() -> Mapping[Path, str]:
    """The text that each file with a generated part must have."""
    pages = sorted((ROOT / "docs").rglob("*.rst"))
    texts = {path: _with_parts(path.read_text()) for path in pages}
    return {**texts, REFERENCE: "\n".join(_reference()) + "\n", MAN_PAGE: man_page()}


def _with_parts(page: str) -> str:
    for name, build in PARTS.items():
        begin, end = f".. begin: {name}\n", f".. end: {name}\n"
        if begin in page:
            head, _, rest = page.partition(begin)
            tail = rest.partition(end)[2]
            page = f"{head}{begin}\n" + "".join(f"{line}\n" for line in build()) + f"\n{end}{tail}"
    return page


# --- tables of options ---------------------------------------------------------------------------


def _options(title: str, options: Mapping[str, Option]) -> Iterator[str]:
    rows = [(f"``{key}``", _default(option), f"{as_rst(option.help)}.") for key, option in options.items()]
    yield from table(title, ("Key", "Default", "Meaning"), rows)


def _default(option: Option) -> str:
    text = default_text(option)
    return f"``{text}``" if is_value(option, text) else _marked(text)


def table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A list-table, without trailing white space."""
    yield from (f".. list-table:: {title}", "   :header-rows: 1", "")
    for row in (heads, *rows):
        for number, cell in enumerate(row):
            lines = textwrap.wrap(cell, WIDTH - 7, break_long_words=False, break_on_hyphens=False) or [""]
            yield f"   {'*' if number == 0 else ' '} - {lines[0]}".rstrip()
            yield from (f"       {line}" for line in lines[1:])


def as_rst(text: str) -> str:
    """A plain text of the code as a sentence, with the names in it marked."""
    whole = _marked(text)
    return whole if whole.startswith("supervisord ") else whole[0].upper() + whole[1:]


def _marked(text: str) -> str:
    parts, last = [], 0
    for found in _LITERAL.finditer(text):
        parts += [_escape(text[last : found.start()]), f"``{found[0]}``"]
        last = found.end()
        if text[last : last + 1].isalnum():
            parts.append("\\ ")
    parts.append(_escape(text[last:]))
    return "".join(parts)


def _escape(text: str) -> str:
    return re.sub(r"([\\*`|])", r"\\\1", text)


# --- tables of events ----------------------------------------------------------------------------


def _events(title: str, *levels: Level) -> Iterator[str]:
    """The events of these levels, in the order of the catalogue."""
    heads = ("Event", "Level", "Fields", "Meaning, and what to do")
    rows = [
        (f"``{kind.name}``", kind.level.name, _fields(kind), f"{_meaning(kind)}{_advice(kind)}")
        for kind in CATALOGUE.values()
        if kind.level in levels
    ]
    yield from table(title, heads, rows)


def _delivered() -> Iterator[str]:
    names = [f"``{name}``" for name in CATALOGUE if name in BY_DEFAULT]
    yield from textwrap.wrap(", ".join(names) + ".", WIDTH, break_long_words=False, break_on_hyphens=False)


def _metrics() -> Iterator[str]:
    rows = [
        (
            f"``{metric.full_name}``",
            metric.type.value,
            ", ".join(f"``{label}``" for label in metric.labels) or "none",
            f"{as_rst(metric.help)}.",
        )
        for metric in METRICS.values()
    ]
    yield from table("Metrics", ("Name", "Type", "Labels", "Meaning"), rows)


def _fields(kind: type[Event]) -> str:
    """The names as the log shows them; `measure` only changes the name of another field."""
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "measure"]
    names = [re.sub("_(bytes|seconds)$", "", name) for name in fields]
    return ", ".join(f"``{name}``" for name in names) or "none"


def _meaning(kind: type[Event]) -> str:
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())
    parts = re.split("`+([^`]*)`+", text)  # Every second part is a name that the docstring marks.
    whole = "".join(f"``{part}``" if number % 2 else _marked(part) for number, part in enumerate(parts))
    return whole if whole.startswith("supervisord ") else whole[0].upper() + whole[1:]


def _advice(kind: type[Event]) -> str:
    return f" **What to do:** {_marked(kind.hint)}." if kind.hint else ""


def _json_fields() -> Iterator[str]:
    """A table for each object of the JSON of status, from the fields and their docstrings."""
    tree = ast.parse(inspect.getsource(status_values))
    for number, kind in enumerate(node for node in tree.body if isinstance(node, ast.ClassDef)):
        title = f"``{_object_name(kind.name)}``: {as_rst(ast.get_docstring(kind) or '')}"
        yield from [""] * bool(number)
        yield from table(title, ("Field", "Meaning"), list(_fields_of(kind)))


def _object_name(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Line")).lower()


def _fields_of(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(kind.body, [*kind.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), field.target.id
            meaning = " ".join(str(text.value.value).split())
            yield f"``{field.target.id}``", re.sub(r"docs/([\w-]+\.rst)", r"`\1 <\1>`_", meaning)


def _words(title: str, head: str, causes: Iterable[Worded]) -> Iterator[str]:
    """What each value of an enumeration means."""
    yield from table(title, (head, "Meaning"), [(f"``{one.value}``", _marked(one.words)) for one in causes])


# --- tables of findings --------------------------------------------------------------------------


def _faults(title: str, faults: Iterable[Fault]) -> Iterator[str]:
    heads = ("Finding", "Severity", "What is so, what would happen, and what to change")
    yield from table(title, heads, [(f"``{one.name}``", one.severity.value, _fault(one)) for one in faults])


def _fault(fault: Fault) -> str:
    meaning, consequence = as_rst(fault.meaning), as_rst(fault.consequence)
    return f"{meaning}. {consequence}. **To change:** {_marked(fault.change)}."


# --- conf.d/reference.conf -----------------------------------------------------------------------


def _reference() -> Iterator[str]:
    yield from _comment(
        f"Every option of supervisor-memkill, with its default. This file is generated by {COMMAND}."
    )
    yield from _comment(
        "A line with ; and no space after it is an option. Remove the ; to set the option. Copy what you need"
        " into your own file; the other examples are better to begin with."
    )
    yield from ("", "[eventlistener:memkill]")
    yield "command = supervisor-memkill --config /etc/supervisor/conf.d/memkill.conf"
    yield from ("events = TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE", "buffer_size = 1000")
    yield "stderr_logfile = /var/log/supervisor/memkill.log"
    yield from ("stdout_logfile = NONE", "", "[memkill]")
    yield from _commented(GLOBAL_KEYS)
    yield ""
    yield from _comment("One section for each pool: workers that can do each other's jobs.")
    yield "[memkill:NAME]"
    yield from _commented(POOL_KEYS)
    for kind in BUILT_IN:
        options = load_kind(kind).options
        if options:
            yield ""
            yield from _comment(f"Only with worker = {kind}:")
            yield from _commented(options)


def _commented(options: Mapping[str, Option]) -> Iterator[str]:
    for key, option in options.items():
        default = default_text(option)
        yield ""
        yield from _comment(
            f"{option.help[0].upper()}{option.help[1:]}. {_default_in_words(option, default)}"
        )
        if key == REQUIRED:
            yield f"{key} = 80%"
        else:
            yield f";{key} = {default}" if is_value(option, default) else f";{key} ="


def _default_in_words(option: Option, default: str) -> str:
    if default == "required":
        return "Required."
    return "" if is_value(option, default) else f"Default: {default}."


def _comment(text: str) -> Iterator[str]:
    return (f"; {line}" for line in textwrap.wrap(text, WIDTH - 2, break_on_hyphens=False))


def is_value(option: Option, text: str) -> bool:
    """The text can stand in a file, and means the default."""
    try:
        return bool(option.parse(text) == option.default)
    except ValueError:
        return False


PARTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "events that need a person": lambda: _events(
        "Events that need a person, or a thought", Level.ERROR, Level.WARNING
    ),
    "other events": lambda: _events("Other events", Level.INFO),
    "events for debugging": lambda: _events("Events of ``log_level = debug``", Level.DEBUG),
    "events that are delivered by default": _delivered,
    "fields of status": _json_fields,
    "metrics": _metrics,
    "reasons": lambda: _words("Why a drain begins", "``reason``", Reason),
    "causes of steps": lambda: _words("Why a drain changed its state, or ended", "``cause``", StepCause),
    "verdicts": lambda: _words("Verdicts on a worker", "``cause``", Hold),
    **{
        f"findings: {title}": lambda title=title, part=part: _faults(title, part.FAULTS)  # type: ignore[misc]
        for title, part in doctor.PARTS.items()
    },
    "findings: The doctor itself": lambda: _faults("The doctor itself", [doctor.CHECK_FAILED]),
    "options of [memkill]": lambda: _options("``[memkill]``, all optional", GLOBAL_KEYS),
    "options of [memkill:NAME]": lambda: _options("``[memkill:NAME]``", POOL_KEYS),
    **{
        f"options of {kind}": lambda kind=kind: _options(  # type: ignore[misc]
            f"Keys of ``worker = {kind}``", load_kind(kind).options
        )
        for kind in BUILT_IN
    },
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
