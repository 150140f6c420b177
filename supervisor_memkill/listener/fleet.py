"""This listener's part in the requests to all hosts that share a pool, which stand in Redis.

The reports to Redis bring new requests back, and carry this listener's answers: what it has taken, how far
each of its workers is, and what it does not take. An answer is sent as long as its request is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import AnswerLine, Offer, RequestAnswer, RequestAnswers
from supervisor_memkill.listener.findings import Finding, PoolSurvey
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.requests import Requests
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import TakenRequest
from supervisor_memkill.rules.standing import Line, Present, Standing, line_of

NOT_LOOKED = "its listener has just started, and has not looked yet"


class Fleet:
    """Takes requests from Redis, and answers them."""

    def __init__(self, requests: Requests, ledger: Ledger, clock: Clock) -> None:
        self._requests = requests
        self._ledger = ledger
        self._clock = clock
        self._open: dict[str, frozenset[str]] = {}
        """The ids of the open requests by pool; a pool that did not answer yet has none here."""
        self._surveys: dict[str, PoolSurvey] = {}
        """The last look at each pool."""
        self._decided: dict[str, str] = {}

    @property
    def has_new(self) -> bool:
        """A request came that is not in the journal: until then, no drain may begin."""
        return self._requests.are_waiting

    def offered(self, pool: str, offers: Sequence[Offer], open_requests: frozenset[str]) -> None:
        """Redis answered a report with these requests."""
        self._open[pool] = open_requests
        for offer in offers:
            self._requests.offered(pool, offer)

    def looked(self, survey: PoolSurvey) -> None:
        if survey.failure is None:
            self._surveys[survey.pool.name] = survey

    def decided(self, worker: str, words: str) -> None:
        """What was decided about a worker that asks for a slot, as text for a person."""
        self._decided[worker] = words

    # --- the answers --------------------------------------------------------------------------------

    def answers(self, pool: str) -> RequestAnswers:
        """The answers to the open requests to this pool; to all, while it is unknown which are open."""
        open_requests = self._open.get(pool)
        found = {
            identity: self._answer(taken)
            for identity, taken in self._ledger.contents.requests.items()
            if taken.fleet_pool == pool
        }
        found |= {
            identity: RequestAnswer(refusal.why)
            for identity, refusal in self._requests.refusals.items()
            if refusal.fleet_pool == pool
        }
        return {
            identity: answer
            for identity, answer in found.items()
            if open_requests is None or identity in open_requests
        }

    def _answer(self, taken: TakenRequest) -> RequestAnswer:
        lines = sorted(self._lines(taken), key=lambda line: list(Standing).index(line.standing))
        replaced = sum(line.standing is Standing.REPLACED for line in lines)
        if replaced == len(lines):
            return RequestAnswer(workers=replaced, replaced=replaced)
        now = self._clock()
        return RequestAnswer(
            workers=len(lines),
            replaced=replaced,
            lines=tuple(
                AnswerLine(
                    line.worker,
                    line.standing.value,
                    line.words,
                    None if line.since is None else max(0.0, now - line.since),
                )
                for line in lines
            ),
        )

    def _lines(self, taken: TakenRequest) -> Iterator[Line]:
        survey = self._surveys.get(taken.fleet_pool)
        for worker, wanted in {**taken.workers, **taken.withdrawn}.items():
            if survey is None:
                yield Line(worker, Standing.WAITING, NOT_LOOKED)
                continue
            finding = survey.finding(worker)
            seen = self._present(survey, finding) if finding is not None else None
            yield line_of(worker, wanted, seen, is_wanted=worker in taken.workers)

    def _present(self, survey: PoolSurvey, finding: Finding) -> Present:
        seen, verdict = finding.seen, finding.verdict
        words = self._decided.get(finding.worker, verdict.words) if verdict.asks else verdict.words
        present = Present(
            seen.process.pid,
            seen.process.start,
            seen.reading.busy if seen.reading is not None else None,
            words,
        )
        drain = self._ledger.drains.get(finding.worker)
        if drain is None or drain.state is State.ASKING:
            return present
        return Present(
            present.pid,
            present.start,
            present.busy,
            words,
            drain.state.value,
            drain.since,
            drain.why_not_back(survey.terms.settle_seconds, self._clock()),
        )
