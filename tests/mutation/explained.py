"""The mutants that no test can catch, and why: they change nothing that is promised."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {}
