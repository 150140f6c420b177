"""``supervisor-memkill --sample [NAME]``: the example configurations that the package holds."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Mapping

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import SUCCESS, Command, Option
from supervisor_memkill.errors import MemkillError, UsageError

SUFFIX = ".conf"
LIST_NAMES = ""
"""What ``--sample`` without a NAME stands for."""

OPTION = Option(
    "--sample",
    "print the example configuration NAME, such as sidekiq; without NAME list the names",
    {"nargs": "?", "const": LIST_NAMES, "metavar": "NAME"},
)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print one example, or the names of all. Raises UsageError for an unknown name."""
    samples = read_samples()
    name: str = arguments.sample
    if name == LIST_NAMES:
        output.show("".join(f"{known}\n" for known in samples))
    elif name in samples:
        output.show(samples[name])
    else:
        raise UsageError(_unknown(name, samples))
    return SUCCESS


def read_samples() -> Mapping[str, str]:
    """The text of each file in conf.d by its name, sorted. Raises MemkillError when the package has none."""
    from importlib.resources import files

    directory = files("supervisor_memkill") / "conf.d"
    found = [file for file in directory.iterdir() if file.name.endswith(SUFFIX)] if directory.is_dir() else []
    if not found:
        raise MemkillError("this installation has no example configurations: install the package again")
    return {
        file.name.removesuffix(SUFFIX): file.read_text(encoding="utf-8")
        for file in sorted(found, key=lambda file: file.name)
    }


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the names are {', '.join(known)}"
    return f"there is no example configuration {name!r}: {hint}"


COMMAND = Command("--sample", OPTION.help, run, (OPTION,))
