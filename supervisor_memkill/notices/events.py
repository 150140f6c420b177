"""The events of the listener itself, and of what it needs: supervisord, the journal, coordination."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.coordination.contract import Cause as RefusalCause
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.world.event_protocol import SUBSCRIPTION


@dataclass(frozen=True)
class ListenerStarted(Event):
    """The listener started, with these pools, from these files, and with this journal."""

    name = "listener.started"
    version: str
    pools: tuple[str, ...]
    files: tuple[Path, ...]
    host: str
    journal: Path
    dry_run: bool
    coordination: str


@dataclass(frozen=True)
class ListenerRefused(Event):
    """The listener cannot start. supervisord starts it again, and this line comes again each time."""

    name = "listener.not_started"
    level = Level.ERROR
    hint = "correct what the error names; then look for the line listener.started"
    error: str


@dataclass(frozen=True)
class ListenerEnded(Event):
    """The listener ended: supervisord stopped it or is gone, or a signal came."""

    name = "listener.ended"


@dataclass(frozen=True)
class ListenerDeaf(Event):
    """supervisord answers, but sends this listener no TICK any more. `then` says what the listener does."""

    name = "listener.deaf"
    level = Level.ERROR
    hint = (
        "let nothing write to the listener's standard output before it starts, such as a login shell's"
        " greeting (sh -lc); after a change of events, run supervisorctl update"
    )
    silent_seconds: float
    then: str


@dataclass(frozen=True)
class ListenerWithoutTicks(Event):
    """The listener's own section subscribes to no TICK event, so that no worker is ever checked."""

    name = "listener.without_ticks"
    level = Level.ERROR
    hint = f"set {SUBSCRIPTION} in the listener's [eventlistener:...] section, then run supervisorctl update"


@dataclass(frozen=True)
class ListenerStandsBy(Event):
    """Another process of the same event listener (`numprocs`) does the work. This process stands by."""

    name = "listener.stands_by"
    once_per = ()
    compared = ()
    siblings: int


@dataclass(frozen=True)
class ListenerGivesWay(Event):
    """Another process of the same event listener (`numprocs`) gets the TICKs. This one ends and stands by."""

    name = "listener.gives_way"
    silent_seconds: float


@dataclass(frozen=True)
class ListenerTakesOver(Event):
    """This listener stood by, and does the work from now on."""

    name = "listener.takes_over"


@dataclass(frozen=True)
class ListenerNameTaken(Event):
    """Another listener with the same name reported to Redis lately. This listener drains no worker."""

    name = "listener.name_is_taken"
    level = Level.ERROR
    hint = (
        "if this listener ran before under another user or with another journal, wait for 3 heartbeats;"
        " else set host in [memkill] to another name on one of the two hosts"
    )
    once_per = ()
    host: str


@dataclass(frozen=True)
class ListenerWaitsForFormer(Event):
    """A former process of this listener, with another journal, has ended. Its record in Redis must expire."""

    name = "listener.waits_for_former"
    once_per = ()
    compared = ()
    host: str
    expires_in_seconds: float


@dataclass(frozen=True)
class Failed(Event):
    """An error in supervisor-memkill. It affects one worker, one pool or one turn; the listener goes on."""

    name = "failed"
    level = Level.ERROR
    hint = "report this line to the authors of supervisor-memkill"
    once_per = ("at",)
    at: str
    error: str
    where: str


@dataclass(frozen=True)
class UnexpectedEvent(Event):
    """supervisord sent an event that the listener does not use. Without TICK events no worker is checked."""

    name = "event.unasked"
    level = Level.WARNING
    hint = f"set {SUBSCRIPTION} in the listener's [eventlistener:...] section, then run supervisorctl update"
    once_per = ()
    compared = ()
    event: str


@dataclass(frozen=True)
class Away(Event):
    """Something that the listener needs does not answer."""

    level = Level.ERROR
    error: str


@dataclass(frozen=True)
class Back(Event):
    """Something that the listener needs answers again."""

    after_seconds: float


@dataclass(frozen=True)
class SupervisordAway(Away):
    """supervisord does not answer. All drains wait, and no drain begins."""

    name = "supervisord.away"
    hint = "do what the error says; if it says nothing, check that supervisord runs, and its server section"


@dataclass(frozen=True)
class SupervisordBack(Back):
    """supervisord answers again, after this time."""

    name = "supervisord.back"


@dataclass(frozen=True)
class JournalAway(Away):
    """The journal cannot be written, read or locked. No drain begins."""

    name = "journal.away"
    hint = "correct what the error names: the disk, the journal's directory, or a second listener"


@dataclass(frozen=True)
class JournalBack(Back):
    """The journal can be written again, after this time."""

    name = "journal.back"


@dataclass(frozen=True)
class HistoryAway(Away):
    """The history cannot be written. Drains go on; up to 200 records wait in memory to be written later."""

    name = "history.away"
    level = Level.WARNING
    hint = "correct what the error names: the disk, or the journal's directory"


@dataclass(frozen=True)
class HistoryBack(Back):
    """The history can be written again, after this time."""

    name = "history.back"


@dataclass(frozen=True)
class CoordinationAway(Away):
    """Redis does not answer. No drain begins; the drains of quiet workers go on."""

    name = "coordination.away"
    hint = "check that this Redis runs, and redis in [memkill]; without other hosts, remove that line"


@dataclass(frozen=True)
class CoordinationBack(Back):
    """Redis answers again, after this time."""

    name = "coordination.back"


@dataclass(frozen=True)
class ReadingsAway(Away):
    """A pool's source of readings, such as Celery's broker, does not answer. The pool begins no drain."""

    name = "readings.away"
    hint = "check that this source runs; check redis, broker or busy_command in the pool's section"
    pool: str


@dataclass(frozen=True)
class ReadingsBack(Back):
    """A pool's source of readings answers again, after this time."""

    name = "readings.back"
    pool: str


@dataclass(frozen=True)
class SupervisordShuttingDown(Event):
    """supervisord is shutting down. The listener does nothing more; the journal keeps unfinished drains."""

    name = "supervisord.shutting_down"
    once_per = ()


@dataclass(frozen=True)
class JournalDamaged(Event):
    """The journal was damaged, and was set aside. The listener drains all workers that it finds quiet."""

    name = "journal.damaged"
    level = Level.ERROR
    hint = "start STOPPED workers that nobody stopped; restart custom workers: they may be quiet"
    error: str


@dataclass(frozen=True)
class JournalOfAnotherBoot(Event):
    """The journal was written before the machine restarted. Its drains are over."""

    name = "journal.of_another_boot"
    path: Path


@dataclass(frozen=True)
class SlotNotReleased(Event):
    """The slot of a finished drain could not be released. The listener tries again, or the slot expires."""

    name = "slot.not_released"
    level = Level.WARNING
    worker: str
    pool: str
    error: str


@dataclass(frozen=True)
class CoordinationAnswered(Event):
    """Coordination answered a request for a slot."""

    name = "coordination.answered"
    level = Level.DEBUG
    pool: str
    worker: str
    asked: str
    """``consider``: no slot is taken; ``acquire``: the slot is taken if it is granted."""
    refused: RefusalCause | None
    others_in_service: int
    min_available: int
    draining: int
    detail: str | None = None


@dataclass(frozen=True)
class ListenerTicked(Event):
    """A TICK of supervisord came."""

    name = "listener.ticked"
    level = Level.DEBUG


@dataclass(frozen=True)
class CoordinationReached(Event):
    """Redis took this listener's report about the pool."""

    name = "coordination.reached"
    level = Level.DEBUG
    pool: str


@dataclass(frozen=True)
class SupervisordAlert(Event):
    """A part of supervisord's configuration is a problem for the listener. `alert` says what to change."""

    name = "supervisord.alert"
    level = Level.WARNING
    alert: str
