"""How far a requested restart is on all hosts, by what their listeners answered in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from supervisor_memkill.commands.fleet_request import OLDER, Sent, Views, concerned
from supervisor_memkill.commands.progress import Progress
from supervisor_memkill.coordination.contract import AnswerLine, ListenerView, PoolView, RequestAnswer
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.rules.requests import OperatorRequest, decode
from supervisor_memkill.rules.standing import Line, Standing

SILENT = "its listener is silent, and takes the request when it comes"
SILENT_SINCE = "its listener took the request, and is silent"
NOBODY = "no listener has reported this pool to this Redis yet"
NOT_YET = "its listener has not taken the request yet"
ITS_TIME_IS_OVER = "the time of the request is over"
LOST = (
    "Redis lost the request to {pool}. {taken} goes on with it. Other hosts did not get it: request it again"
)
LOST_BY_ALL = "Redis lost the request to {pool} before any listener took it: request it again"


class FleetProgress:
    """Follows requests from look to look: what was answered once is remembered."""

    def __init__(self, sent: Sequence[Sent], clock: Callable[[], float], say: Callable[[str], None]) -> None:
        """`clock` is the boot clock. `say` shows one line to the person."""
        self._sent = list(sent)
        self._clock = clock
        self._say = say
        self._answers: dict[tuple[str, str], RequestAnswer] = {}
        """The last answer by the id of the request and the listener."""

    def progress(self, views: Views) -> Progress:
        """Raises MemkillError if Redis lost a request that is not served yet."""
        lines, besides, waiting = list[Line](), 0, 0
        for index, sent in enumerate(self._sent):
            self._sent[index] = self._followed(sent, views[sent.pool])
            for made, replaced, left in self._of_pool(self._sent[index], views[sent.pool]):
                lines += made
                besides += replaced
                waiting += left
        return Progress(tuple(lines), besides, waiting)

    def _followed(self, sent: Sent, view: PoolView) -> Sent:
        """The request, or the newer one that took its place."""
        self._remember(sent, view)
        if not _is_gone(sent, view) or _is_served(self._of_pool(sent, view)):
            return sent
        newer = _replacement(sent, view)
        if newer is not None:
            self._say(f"{sent.pool}: a newer request takes the place of this one, and is watched")
            self._remember(newer, view)
            return newer
        if not sent.is_due:
            raise MemkillError(self._lost(sent))
        return sent

    @property
    def workers(self) -> int:
        """The workers of all listeners that have answered."""
        return sum(answer.workers for answer in self._answers.values())

    def _remember(self, sent: Sent, view: PoolView) -> None:
        for one in view.listeners:
            if one.answers is not None and sent.request.id in one.answers:
                self._answers[sent.request.id, one.listener] = one.answers[sent.request.id]

    def _of_pool(self, sent: Sent, view: PoolView) -> Iterator[tuple[list[Line], int, int]]:
        """Per listener: the lines, and how many workers are replaced, and wait, without a line."""
        hosts = concerned(sent, view)
        if not hosts:
            yield [Line(sent.pool, Standing.WAITING, NOBODY)], 0, 0
        for host in hosts:
            answer = self._answers.get((sent.request.id, host.listener))
            if answer is None:
                yield [self._pending(sent, view, host)], 0, 0
            elif answer.refused:
                yield [Line(host.listener, Standing.FAILED, f"refused: {answer.refused}")], 0, 0
            else:
                yield self._of_answer(sent, view, host, answer)

    def _pending(self, sent: Sent, view: PoolView, host: ListenerView) -> Line:
        if _is_gone(sent, view):
            return Line(host.listener, Standing.WITHDRAWN, ITS_TIME_IS_OVER)
        if host.is_silent:
            return Line(host.listener, Standing.WAITING, SILENT)
        if host.answers is None:
            return Line(host.listener, Standing.FAILED, OLDER)
        return Line(host.listener, Standing.WAITING, NOT_YET)

    def _of_answer(
        self, sent: Sent, view: PoolView, host: ListenerView, answer: RequestAnswer
    ) -> tuple[list[Line], int, int]:
        made = [self._line(host, line) for line in answer.lines]
        named = sum(line.standing is Standing.REPLACED for line in made)
        if _is_gone(sent, view):
            made = [_ended(line) for line in made]
        elif host.is_silent and answer.replaced < answer.workers:
            made = [_unknown(line) for line in made]
        left = 0 if _is_gone(sent, view) else answer.workers - answer.replaced - (len(made) - named)
        return made, answer.replaced - named, max(0, left)

    def _line(self, host: ListenerView, line: AnswerLine) -> Line:
        since = None
        if line.age_seconds is not None:
            since = self._clock() - line.age_seconds - (host.seen_seconds_ago or 0.0)
        return Line(f"{host.listener}/{line.worker}", _standing(line.standing), line.words, since)

    def _lost(self, sent: Sent) -> str:
        taken = sorted(
            listener
            for (identity, listener), answer in self._answers.items()
            if identity == sent.request.id and not answer.refused
        )
        words = LOST if taken else LOST_BY_ALL
        return words.format(pool=sent.pool, taken=", ".join(taken))


def _is_served(found: Iterable[tuple[list[Line], int, int]]) -> bool:
    return all(
        not left and all(line.standing is Standing.REPLACED for line in lines) for lines, _, left in found
    )


def _is_gone(sent: Sent, view: PoolView) -> bool:
    return all(one.id != sent.request.id for one in view.requests)


def _replacement(sent: Sent, view: PoolView) -> Sent | None:
    """The newer request of the same place: who serves it has served this one, too."""
    for offer in reversed(view.requests):
        try:
            request: OperatorRequest = decode(offer.text)
        except ValueError:
            continue
        same = (request.act, sorted(request.names)) == (sent.request.act, sorted(sent.request.names))
        if same and request.id == offer.id:
            return Sent(sent.pool, request, sent.at)
    return None


def _ended(line: Line) -> Line:
    is_open = line.standing in (Standing.WAITING, Standing.WITHDRAWN)
    return Line(line.worker, Standing.WITHDRAWN, ITS_TIME_IS_OVER) if is_open else line


def _unknown(line: Line) -> Line:
    is_done = line.standing is Standing.REPLACED
    return line if is_done else Line(line.worker, Standing.WAITING, SILENT_SINCE)


def _standing(value: str) -> Standing:
    """A standing of a newer version is one that is not over."""
    return next((one for one in Standing if one.value == value), Standing.WAITING)
