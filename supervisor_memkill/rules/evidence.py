"""The rules of `before_stop`: a command that runs once in a drain, while its worker is quiet and idle.

Pure. Times are seconds on the boot clock. Nothing that becomes of the command keeps the drain from its stop:
the drain waits for it no longer than its time limit, and then goes by a new observation of the worker.
"""

from __future__ import annotations

import dataclasses

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.worded import Worded

END_SECONDS = 5.0
"""How long after its time limit a command may take to be ended, with all its processes."""


class EvidenceState(Worded):
    """What became of the command."""

    RUNS = "runs", "the command runs, or was about to be run"
    TAKEN = "taken", "the command succeeded"
    FAILED = "failed", "the command failed, or was ended after its time limit"
    GIVEN_UP = "given_up", "the drain could not wait for the command any longer"
    LOST = "lost", "the listener ended while the command ran"


@dataclass(frozen=True)
class Evidence:
    """The command of one drain."""

    state: EvidenceState
    began_at: float
    """When it was about to be run."""
    seconds: float | None = None
    """How long it took; None while it runs, and if nobody knows."""
    error: str = ""
    """Why it failed, for a person."""
    was_suspended: bool = False
    """The worker was suspended before the command, by its quiet: it stays so."""

    @property
    def runs(self) -> bool:
        """The drain waits for it."""
        return self.state is EvidenceState.RUNS


@dataclass(frozen=True)
class EvidenceSeen:
    """What this listener knows of the command that it runs for a drain."""

    seconds: float | None = None
    """How long it took; None: it runs."""
    error: str = ""
    """Why it failed; empty: it runs, or it succeeded."""


def next_evidence(
    evidence: Evidence | None, seen: EvidenceSeen | None, limit_seconds: float | None, now: float
) -> Evidence | None:
    """The record after an observation. `seen` None: this listener does not run the command.

    `limit_seconds` is the command's time limit; None: no command is configured any more.
    """
    if evidence is None or not evidence.runs:
        return evidence
    if seen is None:
        # A former listener began it. Whether it did its work is unknown: it is not run a second time.
        return ended(evidence, EvidenceState.LOST)
    if seen.seconds is not None:
        state = EvidenceState.FAILED if seen.error else EvidenceState.TAKEN
        return dataclasses.replace(evidence, state=state, seconds=seen.seconds, error=seen.error)
    if now - evidence.began_at >= (limit_seconds or 0.0) + END_SECONDS:
        return ended(evidence, EvidenceState.GIVEN_UP)
    return evidence


def ended(evidence: Evidence, state: EvidenceState) -> Evidence:
    """The record of a command that the drain does not wait for any more."""
    return dataclasses.replace(evidence, state=state, error=state.words)
