"""What a real listener says: its log and its journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from supervisor_memkill.listener import journal
from supervisor_memkill.rules.drain import Drain
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real_supervisord import RealSupervisord

T = TypeVar("T")


class Waits:
    """Waits for what real programs do; their logs are told elsewhere when a test fails."""

    def wait_for(
        self,
        condition: Callable[[], T],
        seconds: float = PATIENCE_SECONDS,
        progress: Callable[[], object] = lambda: None,
    ) -> T:
        __tracebackhide__ = True
        return wait_for(condition, seconds, "see the logs", every=0.05, progress=progress)


class Watched:
    """A supervisord with a listener whose log is ``memkill.log``."""

    supervisord: RealSupervisord
    journal: Path

    def log(self) -> str:
        return self.supervisord.log("memkill.log")

    def events(self, name: str, text: str = "") -> list[str]:
        """The listener's lines that report this event and hold this text."""
        lines = [line for line in self.log().splitlines() if line.split(" ")[3:4] == [name]]
        return [line for line in lines if text in line]

    def drains(self) -> Mapping[str, Drain]:
        """What the journal holds; nothing while there is none."""
        try:
            return journal.read(self.journal)[0].drains
        except FileNotFoundError:
            return {}
