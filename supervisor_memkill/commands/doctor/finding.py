"""What a check finds: a severity, a stable name, what is so, what would happen, and what to change."""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import one_line
from supervisor_memkill.worded import Worded


class Severity(Worded):
    """How bad a finding is."""

    ERROR = "error", "supervisor-memkill does not do its work, or jobs would be lost"
    WARNING = "warning", "a part does not work as expected, or jobs may be lost"
    NOTE = "note", "good to know; nothing has to be changed"

    @property
    def is_fault(self) -> bool:
        """It makes the exit status 1."""
        return self is not Severity.NOTE


@dataclass(frozen=True)
class Finding:
    """One fault as it was found. All texts are of one line."""

    severity: Severity
    name: str
    """The name of its fault, for programs."""
    at: str
    """Where it was found: a file with its line, a section, a worker or an address; may be empty."""
    what: str
    """What is so."""
    consequence: str
    """What happens while nobody changes it."""
    change: str
    """What to change."""
    place: str = ""
    """Where the section is that `at` is about, ``PATH:LINE``; empty: not known."""


@dataclass(frozen=True)
class Fault:
    """One thing that can be wrong. The documentation's list is made from these values."""

    name: str
    """Stable, in kebab-case: programs compare it."""
    severity: Severity
    meaning: str
    """What is wrong, as a clause for the documentation."""
    consequence: str
    """What happens while nobody changes it."""
    change: str
    """What to change, where the finding does not know it more exactly."""

    def found(self, what: str, at: str = "", *, consequence: str = "", change: str = "") -> Finding:
        """The finding; the texts of the fault stand where none are given."""
        return Finding(
            self.severity,
            self.name,
            one_line(at),
            one_line(what),
            one_line(consequence or self.consequence),
            one_line(change or self.change),
        )
