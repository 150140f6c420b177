"""A configuration file under test, and the kinds that it may name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.units import parse_whole
from supervisor_memkill.workers.contract import Option, Traits

SECRET = "s3cret"
"""A password."""


def _parse_echo(text: str) -> str:
    raise ValueError(f"anything but {text}")


class FakeKind:
    """A kind that nothing is done with but reading its configuration."""

    options: ClassVar[Mapping[str, Option]] = {
        "threads": Option(parse_whole(1), 5, "jobs at once"),
        "odd": Option(parse_whole(0), 1, "an odd number"),
        "echo": Option(_parse_echo, None, "what no value is good for"),
    }
    needs_redis: ClassVar[bool] = False

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=True, can_resume=values["threads"] == 1, names_jobs=values["threads"] > 5)

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        assert values.keys() == {*cls.options, "redis"}
        return () if values["odd"] % 2 else ("odd must be odd",)


class NeedyKind(FakeKind):
    needs_redis: ClassVar[bool] = True


class StoppingKind(FakeKind):
    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return Traits(quiets=False)


def find_kind(name: str) -> Any:
    found = {"plain": FakeKind, "fake": FakeKind, "needy": NeedyKind, "stopping": StoppingKind}.get(name)
    if found is None:
        raise MemkillError("unknown kind, did you mean plain?")
    return found


@dataclasses.dataclass(frozen=True)
class Written:
    """A configuration file under test."""

    path: Path

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Config:
        self.path.write_text(text)
        return load(read_file(self.path), environ or {}, "this-host", find_kind)

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Each without the path of the file."""
        with pytest.raises(ConfigError) as refused:
            self.load(text, environ)
        return [problem.replace(f"{self.path}:", "") for problem in refused.value.problems]

    def pool(self, lines: str, main: str = "") -> PoolConfig:
        (pool,) = self.load(f"[memkill]\n{main}\n[memkill:jobs]\nmax_rss = 2GB\n{lines}\n").pools
        return pool

    def pool_problem(self, lines: str, main: str = "") -> str:
        (problem,) = self.problems(f"[memkill]\n{main}\n[memkill:jobs]\nmax_rss = 2GB\n{lines}\n")
        return problem
