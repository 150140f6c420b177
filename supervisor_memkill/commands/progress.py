"""How far a requested restart is, by the state file, and how that is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import one_line
from supervisor_memkill.listener.state_values import ListenerState, WorkerState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.requests import RunningProcess
from supervisor_memkill.rules.standing import Line, Present, Standing, line_of
from supervisor_memkill.units import format_duration

NAMED = 5
"""So many workers are named in an error."""
DEFAULT_IDENTIFIER = "supervisor"
"""supervisord's `identifier` if its configuration sets none."""


@dataclass(frozen=True)
class Progress:
    """All workers of one request."""

    lines: tuple[Line, ...]
    replaced_besides: int = 0
    """Replaced workers without a line."""
    waiting_besides: int = 0
    """Workers that wait, without a line."""

    @property
    def replaced(self) -> int:
        return len(self.having(Standing.REPLACED)) + self.replaced_besides

    @property
    def workers(self) -> int:
        return len(self.lines) + self.replaced_besides + self.waiting_besides

    @property
    def is_over(self) -> bool:
        """Nothing is left to wait for."""
        if self.having(Standing.FAILED):
            return True
        open_ones = (Standing.WAITING, Standing.DRAINING)
        return not self.waiting_besides and not any(line.standing in open_ones for line in self.lines)

    @property
    def is_served(self) -> bool:
        return self.replaced == self.workers

    def having(self, standing: Standing) -> list[Line]:
        return [line for line in self.lines if line.standing is standing]


def progress(wanted: Mapping[str, RunningProcess], identity: str, state: ListenerState) -> Progress:
    """`wanted`: the processes that were to go when the request was taken, by worker."""
    return Progress(tuple(_lines(wanted, identity, state)))


def _lines(wanted: Mapping[str, RunningProcess], identity: str, state: ListenerState) -> Iterator[Line]:
    taken = state.request(identity)
    still = taken.workers if taken is not None else {}
    for name, process in wanted.items():
        worker = state.worker(name)
        if worker is None and not state.pools:
            yield Line(name, Standing.WAITING, "the listener has just started, and has not looked yet")
        else:
            seen = None if worker is None else _present(worker)
            yield line_of(name, process, seen, is_wanted=name in still)


def _present(worker: WorkerState) -> Present:
    drain = worker.drain
    if drain is None:
        return Present(worker.pid, worker.start, worker.busy, worker.verdict)
    state = drain.state if drain.evidence_since is None else f"{drain.state} (before_stop runs)"
    return Present(
        worker.pid,
        worker.start,
        worker.busy,
        worker.verdict,
        state,
        drain.since,
        drain.not_back,
    )


def as_bar(made: Progress, now: float, columns: int) -> str:
    """One line for a terminal of this width; `now` is on the boot clock."""
    for text in _bars(made, now, columns):
        if len(text) <= columns:
            return text
    return f"{text[: max(0, columns - 3)]}..."


def _bars(made: Progress, now: float, columns: int) -> Iterator[str]:
    """The line with all that is known, then with less and less: what drains is the last to give way."""
    drains = "".join(f"; {_draining(line, now)}" for line in made.having(Standing.DRAINING))
    # Listeners that have not answered come first: nothing is known of their workers.
    waiting = sorted(made.having(Standing.WAITING), key=lambda line: ":" in line.worker)
    count = len(waiting) + made.waiting_besides
    first = f"; {_short_name(waiting[0].worker)}: {_short_words(waiting[0].words)}" if waiting else ""
    more = f" (and {count - 1} more wait)" if count > 1 else ""
    wide, narrow = (_head(made, width) for width in (min(20, max(4, columns // 8)), 4))
    # Names of jobs come from Redis: nothing of them may steer the terminal.
    for text in (f"{wide}{drains}{first}{more}", f"{narrow}{drains}{first}{more}"):
        yield one_line(text)
    if drains and count:
        yield one_line(f"{wide}{drains}; {count} wait")
        yield one_line(f"{narrow}{drains}; {count} wait")
    yield one_line(f"{narrow}{drains or first}")


def _head(made: Progress, width: int) -> str:
    done, total = made.replaced, made.workers
    filled = round(width * done / total) if total else width
    return f"[{'#' * filled}{'.' * (width - filled)}] {done} of {total} replaced"


def _draining(line: Line, now: float) -> str:
    state, comma, jobs = line.words.partition(", ")
    seconds = "" if line.since is None else f" for {format_duration(round(max(0.0, now - line.since)))}"
    return f"{_short_name(line.worker)}: {state}{seconds}{comma}{jobs}"


def _short_name(worker: str) -> str:
    """80 columns are few: without supervisord's default identifier, and without a group that the name has."""
    listener, _, name = worker.rpartition("/") if ":" in worker else (worker, "", "")
    host = listener.removesuffix(f"/{DEFAULT_IDENTIFIER}")
    group, _, program = name.partition(":")
    return "/".join(filter(None, (host, program if program.startswith(group) else name)))


def _short_words(words: str) -> str:
    """Why it waits: that a person requested it is known."""
    return words.removeprefix(f"{Reason.RESTART.asks}, but ")


def as_words(line: Line) -> str:
    """One line of a log: only the words change it, not the time."""
    return one_line(f"{line.worker}: {line.standing.value}{f' ({line.words})' if line.words else ''}")


def left(made: Progress | None) -> str:
    """The workers that are not replaced, for an error of one line: those that fail come first."""
    order = list(Standing)
    lines = sorted(made.lines if made is not None else (), key=lambda line: order.index(line.standing))
    lines = [line for line in lines if line.standing is not Standing.REPLACED]
    more = len(lines[NAMED:]) + (made.waiting_besides if made is not None else 0)
    return "; ".join([*map(as_words, lines[:NAMED]), *([f"and {more} more"] if more else [])])
