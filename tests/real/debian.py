"""Versions of Debian's packages, on this machine and in the folders of scripts/make-test-roots."""

from __future__ import annotations

import subprocess

from tests.harness import ROOTS


def version_of(package: str, suite: str | None) -> str:
    """The upstream version of an installed package; None is this machine."""
    directory = f"{ROOTS / suite}/var/lib/dpkg" if suite else "/var/lib/dpkg"
    words = ["dpkg-query", f"--admindir={directory}", "--show", "--showformat=${Version}", package]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return shown.partition("+")[0].rpartition("-")[0] or shown.partition("+")[0]
